import ClinicSyncModel
import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Testing

@testable import ClinicSync

@Suite(.timeLimit(.minutes(1))) struct LocalAPIServerTests {
    static let token = "a-token-of-this-test"

    /// A node that answers from memory and remembers the requests.
    struct FixedControl: StatusControl, TableControl, MemberControl, ConflictControl, SessionControl, NoticeControl,
        ProbeControl
    {
        let events = LoggedBroadcaster()
        let calls = NIOLockedValueBox<[String]>([])
        var findings: [Finding] = []

        func status() async throws -> NodeStatus {
            NodeStatus(
                node: .init(id: "n", name: "desk", version: "1", schemaVersion: 2, uptimeSeconds: 3),
                clinic: .init(id: "c", name: "Clinic"),
                role: .searching,
                term: 4,
                host: nil,
                activeConnections: 5,
                security: NodeStatus.Security(
                    certificateExpires: UTCTimestamp(milliseconds: 0),
                    maySign: true,
                    refusedConnections: 6,
                    revokedNodes: 7
                ),
                pendingChanges: 6,
                clockOffsetMilliseconds: -7,
                lastReconciliation: nil,
                conflicts: .init(open: 8),
                tables: [],
                peers: [],
                waiting: [],
                progress: nil
            )
        }

        func health() async -> HealthSummary { HealthSummary(self.findings) }

        func digest(table: String?) async throws -> DigestSummary {
            guard table != "nope" else { throw ClinicSyncError(.usage, "There is no table nope.") }
            return DigestSummary([TableDigest(name: "patients", rows: 1, digest: Digest(high: 0, low: 10))])
        }

        func sync(table: String?, timeout: Duration) async throws -> SyncSummary {
            self.calls.withLockedValue { $0.append("sync \(table ?? "-") \(DurationText.format(timeout))") }
            return SyncSummary(SyncReport(id: 1, result: .equal, repairedRows: 0, nodes: []), took: .milliseconds(9))
        }

        func prepareBackup() async throws { self.calls.withLockedValue { $0.append("backup") } }

        func notify(_ text: String, node: String?, user: String?) async throws -> String {
            self.calls.withLockedValue { $0.append("notify \(text) \(node ?? "-") \(user ?? "-")") }
            return "notice 1"
        }

        func probe(timeout: Duration) async throws -> ProbeSummary {
            self.calls.withLockedValue { $0.append("probe \(DurationText.format(timeout))") }
            return ProbeSummary(nodes: [], missing: [], complete: true)
        }

        func nodes() async throws -> NodesSummary { NodesSummary(nodes: []) }

        func revoke(node: String) async throws { self.calls.withLockedValue { $0.append("revoke \(node)") } }

        func grant(node: String) async throws { self.calls.withLockedValue { $0.append("grant \(node)") } }
        func transferHost(to node: String) async throws {}
        func rename(node: String, to name: String) async throws {
            self.calls.withLockedValue { $0.append("rename \(node) to \(name)") }
        }

        func invite(ttl: Duration, uses: Int) async throws -> String {
            self.calls.withLockedValue { $0.append("invite \(DurationText.format(ttl)) \(uses)") }
            return "CODE"
        }

        /// Every part of a node.
        var all: NodeControl {
            NodeControl(
                status: self,
                tables: self,
                members: self,
                conflicts: self,
                sessions: self,
                notices: self,
                probes: self,
                events: self.events.broadcaster
            )
        }

        // MARK: - Sessions

        func sessions(onlyActive: Bool) async throws -> SessionsSummary {
            SessionsSummary(sessions: [], statistics: [onlyActive ? "active" : "logout": 1])
        }
        func login(_ input: LoginInput) async throws -> LoginResult {
            switch input.username {
            case "ana" where input.force == true: throw ClinicSyncError(.refused, "Deactivated.")
            case "ana":
                let holder = SessionHolder(
                    sessionID: "s1",
                    deviceID: "d1",
                    deviceName: "Labor",
                    loginTime: "2026-11-21T10:00:00.000Z",
                    lastActivity: "2026-11-21T10:05:00.000Z"
                )
                return .conflict(SessionConflict(username: "ana", sessions: [holder]))
            case "ben": return .tooMany(retryAfter: .milliseconds(1_500))
            default: return .wrongPassword
            }
        }
        func endSession(_ id: String) async throws { self.calls.withLockedValue { $0.append("end \(id)") } }
        func endSessions(of username: String) async throws -> Int { 3 }
        func touchSession(_ id: String) async throws { throw ClinicSyncError(.notFound, "None.") }
        func cleanSessions(olderThan age: Duration) async throws -> Int { Int(age / .seconds(86_400)) }

        // MARK: - Conflicts and the dashboard

        func conflicts(_ filter: ConflictFilter) async throws -> ConflictsSummary {
            ConflictsSummary(conflicts: [], open: filter == .open ? 1 : 2)
        }
        func conflict(_ id: String) async throws -> ConflictSummary { throw ClinicSyncError(.notFound, "None.") }
        func resolve(conflict id: String, _ decision: ConflictDecision) async throws -> ConflictSummary {
            self.calls.withLockedValue {
                $0.append("resolve \(id) \(decision.keep) \(decision.expected?.description ?? "-")")
            }
            return ConflictFixtures.nameOfAna
        }
        func resolve(_ decision: ConflictsDecision) async throws -> ConflictsResolution {
            let parts = [
                decision.table, decision.column, decision.kind?.rawValue, decision.pc, decision.since?.description,
            ]
            self.calls.withLockedValue {
                $0.append("resolve all \(decision.keep) \(parts.compactMap(\.self)) \(decision.dryRun)")
            }
            return ConflictsResolution(matching: 3, dryRun: decision.dryRun)
        }
        func why(_ path: String) async throws -> WhySummary {
            self.calls.withLockedValue { $0.append("why \(path)") }
            let author = WhySummary.Author(
                origin: "n1",
                originName: "Labor",
                timestamp: UTCTimestamp(milliseconds: 0),
                number: 7
            )
            let column = WhySummary.Column(column: "c", value: .integer(5), author: author, beat: [])
            return WhySummary(table: "t", recordId: "r", state: "shown", deleted: nil, columns: [column], conflicts: [])
        }
        func latency() async throws -> LatencyHistory { LatencyHistory(intervalSeconds: 10, samples: []) }
        func metrics() async throws -> String {
            let metrics = NodeMetrics()
            metrics.record(try await self.status(), eventPosition: 9)
            return metrics.text
        }
    }

    /// Serves on a free port while `body` runs, then stops gracefully.
    func serve(
        _ control: FixedControl = FixedControl(),
        allowedOrigins: [String] = [],
        programs: ProgramTokens? = nil,
        _ body: @escaping @Sendable (NetworkAddress, ServiceGroup) async throws -> Void
    ) async throws {
        let (addresses, listening) = AsyncStream<NetworkAddress>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let server = LocalAPIServer(
            address: NetworkAddress(host: "127.0.0.1", port: 0),
            token: LocalAPIServerTests.token,
            programs: programs,
            allowedOrigins: allowedOrigins,
            control: control.all,
            logger: logger
        ) { listening.yield($0) }
        let group = ServiceGroup(services: [server], logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            var iterator = addresses.makeAsyncIterator()
            let address = try #require(await iterator.next())
            try await body(address, group)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    /// Sends text and returns all that comes back until the server closes.
    private func exchange(_ address: NetworkAddress, _ request: String) async throws -> String {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: address.host, port: address.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: request))
            var answer = ""
            for try await buffer in inbound { answer += String(buffer: buffer) }
            return answer
        }
    }

    func get(
        _ address: NetworkAddress,
        _ path: String,
        headers: [String],
        method: String = "GET",
        body: String = ""
    ) async throws -> String {
        let lines = ["\(method) \(path) HTTP/1.1"] + headers + ["Connection: close"]
        return try await self.exchange(address, lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
    }

    static let authorization = "Authorization: Bearer \(token)"

    @Test("health needs no token and says nothing else")
    func health() async throws {
        try await self.serve { address, _ in
            let answer = try await self.get(address, "/health", headers: ["Host: \(address)"])
            #expect(answer.hasPrefix("HTTP/1.1 200"))
            #expect(answer.hasSuffix("\r\n\r\n"))
        }
    }

    @Test("readiness is 200 with warnings and 503 when something failed, with the reasons, and needs the token")
    func readiness() async throws {
        let headers = ["Authorization: Bearer \(LocalAPIServerTests.token)"]
        for (code, status) in [(nil, 200), (.memberLapsed, 200), (.diskFull, 503)] as [(FindingCode?, Int)] {
            var control = FixedControl()
            control.findings = code.map { [Finding($0, "The cause.", subject: "n2")] } ?? []
            let expected =
                code.map { code in
                    #"{"findings":[{"check":"\#(code.rawValue)","finding":"The cause.","remedy":"\#(code.remedy)","#
                        + #""since":null,"state":"\#(code.state.rawValue)","subject":"n2"}],"state":"\#(code.state.rawValue)"}"#
                } ?? #"{"findings":[],"state":"ok"}"#
            try await self.serve(control) { address, _ in
                let answer = try await self.get(address, "/v1/health", headers: ["Host: \(address)"] + headers)
                #expect(answer.hasPrefix("HTTP/1.1 \(status)"))
                #expect(answer.hasSuffix("\r\n\r\n\(expected)\n"))
                let without = try await self.get(address, "/v1/health", headers: ["Host: \(address)"])
                #expect(without.hasPrefix("HTTP/1.1 401"))
            }
        }
    }

    @Test(
        "without the right token nothing is told",
        arguments: [
            [], ["Authorization: Bearer"], ["Authorization: Bearer wrong"],
            ["Authorization: Bearer a-token-of-this-tesT"], ["Authorization: Basic a-token-of-this-test"],
        ] as [[String]]
    )
    func token(headers: [String]) async throws {
        try await self.serve { address, _ in
            for path in ["/v1/status", "/v1/digest", "/v1/events"] {
                let answer = try await self.get(address, path, headers: ["Host: \(address)"] + headers)
                #expect(answer.hasPrefix("HTTP/1.1 401"))
                #expect(answer.contains(#"{"error":"unauthorized","message":"#))
            }
        }
    }

    @Test(
        "a name that is not this PC's loopback is refused, even with the token",
        arguments: [
            "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7451", "192.168.1.1", "[::2]", "",
        ]
    )
    func host(name: String) async throws {
        try await self.serve { address, _ in
            let headers = ["Host: \(name)", LocalAPIServerTests.authorization]
            let answer = try await self.get(address, "/v1/status", headers: headers)
            #expect(answer.hasPrefix("HTTP/1.1 421"))
        }
    }

    @Test(
        "loopback names are accepted",
        arguments: ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:7451", "127.9.9.9"]
    )
    func loopbackHost(name: String) async throws {
        try await self.serve { address, _ in
            let headers = ["Host: \(name)", LocalAPIServerTests.authorization]
            let answer = try await self.get(address, "/v1/status", headers: headers)
            #expect(answer.hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("a page of another origin is refused, the API's own is not")
    func origin() async throws {
        try await self.serve { address, _ in
            let headers = ["Host: \(address)", LocalAPIServerTests.authorization]
            for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "https://\(address)"] {
                let answer = try await self.get(address, "/v1/status", headers: headers + ["Origin: \(origin)"])
                #expect(answer.hasPrefix("HTTP/1.1 403"), "\(origin)")
            }
            let own = try await self.get(address, "/v1/status", headers: headers + ["Origin: http://\(address)"])
            #expect(own.hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("bodies and headers beyond the limits are refused, and unknown endpoints and tables named")
    func limits() async throws {
        try await self.serve { address, _ in
            let headers = ["Host: \(address)", LocalAPIServerTests.authorization]
            let announced = headers + ["Content-Length: 65537"]
            let large = try await self.get(address, "/v1/sync", headers: announced, method: "POST")
            #expect(large.hasPrefix("HTTP/1.1 413"))
            let chunked = headers + ["Transfer-Encoding: chunked"]
            let body = "11000\r\n" + String(repeating: "x", count: 0x11000) + "\r\n0\r\n\r\n"
            let streamed = try await self.get(address, "/v1/sync", headers: chunked, method: "POST", body: body)
            #expect(streamed.hasPrefix("HTTP/1.1 413"))
            let long = headers + ["X-Long: " + String(repeating: "x", count: 40_000)]
            let refused = try await self.get(address, "/v1/status", headers: long)
            #expect(!refused.hasPrefix("HTTP/1.1 200"))
            let unknown = try await self.get(address, "/v1/nothing", headers: headers)
            #expect(unknown.hasPrefix("HTTP/1.1 404"))
            #expect(unknown.contains(#"{"error":"not_found","#))
            let table = try await self.get(address, "/v1/digest?table=nope", headers: headers)
            #expect(table.hasPrefix("HTTP/1.1 400"))
            #expect(table.contains(#"{"error":"usage","message":"There is no table nope."}"#))
        }
    }

    @Test("status has every key of the contract, null where there is nothing")
    func statusKeys() async throws {
        try await self.serve { address, _ in
            let client = LocalAPIClient(address: address, token: LocalAPIServerTests.token, directory: "d")
            let text = String(decoding: try await client.send(.GET, "/v1/status", timeout: .seconds(10)), as: UTF8.self)
            #expect(
                text == #"{"activeConnections":5,"clinic":{"id":"c","name":"Clinic"},"clockOffsetMilliseconds":-7,"#
                    + #""conflicts":{"open":8},"damage":[],"dials":[],"diskFaults":[],"duplicateIdentities":[],"#
                    + #""findings":[],"host":null,"#
                    + #""lapsedNodes":[],"lastReconciliation":null,"lockedFiles":[],"#
                    + #""node":{"id":"n","name":"desk","schemaVersion":2,"uptimeSeconds":3,"version":"1"},"#
                    + #""peers":[],"pendingChanges":6,"progress":null,"role":"searching","#
                    + #""security":{"certificateExpires":"1970-01-01T00:00:00.000Z","maySign":true,"#
                    + #""refusedConnections":6,"revokedNodes":7,"unsignedRows":0,"warnings":[]},"tables":[],"term":4,"#
                    + #""verdict":null,"waiting":[],"warnings":[]}"# + "\n"
            )
        }
    }

    @Test("options reach the node, and wrong ones do not")
    func options() async throws {
        let control = FixedControl()
        try await self.serve(control) { address, _ in
            let client = LocalAPIClient(address: address, token: LocalAPIServerTests.token, directory: "d")
            _ = try await client.send(
                .POST,
                "/v1/sync",
                query: [("table", "patients"), ("timeout", "5s")],
                timeout: .seconds(10)
            )
            _ = try await client.send(.POST, "/v1/invitations", query: [("uses", "3")], timeout: .seconds(10))
            for path in ["/v1/nodes/revoke", "/v1/nodes/grant"] {
                _ = try await client.send(.POST, path, query: [("node", "a b")], timeout: .seconds(10))
                await #expect(throws: ClinicSyncError(.usage, "")) {
                    try await client.send(.POST, path, timeout: .seconds(10))
                }
            }
            for query in [("timeout", "soon"), ("timeout", "2d")] {
                await #expect(throws: ClinicSyncError(.usage, "")) {
                    try await client.send(.POST, "/v1/sync", query: [query], timeout: .seconds(10))
                }
            }
            for query in [("uses", "0"), ("ttl", "30d"), ("ttl", "x")] {
                await #expect(throws: ClinicSyncError(.usage, "")) {
                    try await client.send(.POST, "/v1/invitations", query: [query], timeout: .seconds(10))
                }
            }
        }
        #expect(
            control.calls.withLockedValue { $0 } == ["sync patients 5s", "invite 30m 3", "revoke a b", "grant a b"]
        )
    }

    @Test("events stream as they happen, and the stream ends when the node stops")
    func events() async throws {
        let control = FixedControl()
        try await self.serve(control) { address, group in
            control.events.publishSystem("host_changed")
            let client = LocalAPIClient(address: address, token: LocalAPIServerTests.token, directory: "d")
            var types = [String]()
            try await client.lines("/v1/events", query: [("category", "system"), ("since", "0")]) { line in
                types.append(try APICoding.decode(NodeEvent.self, from: Array(line)).type)
                if types.count == 1 { control.events.publishSystem("peer_lost") }
                if types.count == 2 { await group.triggerGracefulShutdown() }
            }
            #expect(types == ["host_changed", "peer_lost"])
        }
    }

    @Test("a port in use is said as such")
    func portInUse() async throws {
        try await self.serve { address, _ in
            let second = LocalAPIServer(
                address: address,
                token: "t",
                control: FixedControl().all,
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            ) { _ in }
            await #expect(throws: ClinicSyncError(.portInUse, "")) { try await second.run() }
        }
    }

    @Test("a failure to tell where the server listens stops it")
    func listeningFails() async throws {
        let server = LocalAPIServer(
            address: NetworkAddress(host: "127.0.0.1", port: 0),
            token: "t",
            control: FixedControl().all,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        ) { _ in throw ClinicSyncError(.diskFull, "full") }
        await #expect(throws: ClinicSyncError(.diskFull, "")) { try await server.run() }
    }

    @Test("nobody at the address is a node that does not run")
    func notRunning() async throws {
        let client = LocalAPIClient(
            address: NetworkAddress(host: "127.0.0.1", port: 1),
            token: "t",
            directory: "/data"
        )
        let error = await #expect(throws: ClinicSyncError.self) {
            try await client.send(.GET, "/v1/status", timeout: .seconds(10))
        }
        #expect(error?.code == .notReachable)
        #expect(error?.message.contains("clinic-node run") == true)
    }

    @Test("a decision about a conflict is a JSON object, and anything else is refused with a sentence")
    func jsonBody() async throws {
        let control = FixedControl()
        try await self.serve(control) { address, _ in
            let headers = ["Host: \(address)", LocalAPIServerTests.authorization]
            func post(_ body: String, _ type: String = "application/json; charset=utf-8") async throws -> String {
                let more = ["Content-Type: \(type)", "Content-Length: \(body.utf8.count)"]
                let path = "/v1/conflicts/7/resolve"
                return try await self.get(address, path, headers: headers + more, method: "POST", body: body)
            }
            let good = try await post(#"{"keep":"other","expected":5}"#)
            #expect(good.hasPrefix("HTTP/1.1 200") && good.contains(#""id":"0123456789abcdef0123456789abcdef""#))
            let form = try await post("keep=other", "application/x-www-form-urlencoded")
            #expect(form.hasPrefix("HTTP/1.1 415") && form.contains("wrong_content_type"))
            for body in ["", "[]", "{}", "nonsense", #"{"keep":"neither"}"#, #"{"keep":7}"#] {
                let answer = try await post(body)
                #expect(answer.hasPrefix("HTTP/1.1 400"), "\(body)")
                #expect(answer.contains(#"{"error":"bad_json","message":"#))
            }
            let unknown = try await self.get(address, "/v1/conflicts/99", headers: headers)
            #expect(unknown.hasPrefix("HTTP/1.1 404"))
        }
        #expect(control.calls.withLockedValue { $0 } == ["resolve 7 other 5"])
    }

    @Test("a path with slashes reaches the node as it is, and no path is refused")
    func why() async throws {
        let control = FixedControl()
        try await self.serve(control) { address, _ in
            let headers = ["Host: \(address)", LocalAPIServerTests.authorization]
            let good = try await self.get(address, "/v1/why?path=patients/a%2Fb/fullName", headers: headers)
            #expect(good.hasPrefix("HTTP/1.1 200") && good.contains(#""deleted":null"#))
            #expect(good.contains(#""author":{"number":7,"origin":"n1","originName":"Labor""#))
            let none = try await self.get(address, "/v1/why", headers: headers)
            #expect(none.hasPrefix("HTTP/1.1 400"))
        }
        #expect(control.calls.withLockedValue { $0 } == ["why patients/a/b/fullName"])
    }

    @Test("the dashboard opens by a link that works once, and its cookie makes no further links")
    func dashboard() async throws {
        try await self.serve { address, _ in
            let host = "Host: \(address)"
            let client = LocalAPIClient(address: address, token: LocalAPIServerTests.token, directory: "d")
            let body = try await client.send(.POST, "/v1/dashboard-links", timeout: .seconds(10))
            let link = try APICoding.decode(DashboardLink.self, from: body)
            let path = try #require(link.url.split(separator: "\(address)").last.map(String.init))
            let closed = try await self.get(address, "/", headers: [host])
            #expect(closed.hasPrefix("HTTP/1.1 401") && closed.contains("clinic-node dashboard"))
            let opened = try await self.get(address, path, headers: [host])
            #expect(opened.hasPrefix("HTTP/1.1 303") && opened.contains("HttpOnly; SameSite=Strict"))
            let again = try await self.get(address, path, headers: [host])
            #expect(again.hasPrefix("HTTP/1.1 401") && !again.contains("clinicsync_dashboard="))
            let value = try #require(opened.firstMatch(of: /clinicsync_dashboard=([^;]+);/)?.1)
            let cookie = [host, "Cookie: clinicsync_dashboard=\(value)"]
            let page = try await self.get(address, "/", headers: cookie)
            #expect(
                page.hasPrefix("HTTP/1.1 200") && page.contains("id=\"nodes\"") && page.contains("default-src 'none'")
            )
            let own = cookie + ["Sec-Fetch-Site: same-origin"]
            let status = try await self.get(address, "/v1/status", headers: own)
            #expect(status.hasPrefix("HTTP/1.1 200"))
            let foreign = try await self.get(address, "/v1/status", headers: cookie + ["Sec-Fetch-Site: cross-site"])
            #expect(foreign.hasPrefix("HTTP/1.1 401"))
            let unmarked = try await self.get(address, "/v1/sync", headers: own, method: "POST")
            #expect(unmarked.hasPrefix("HTTP/1.1 401"))
            let marked = try await self.get(address, "/v1/sync", headers: own + ["X-ClinicSync: 1"], method: "POST")
            #expect(marked.hasPrefix("HTTP/1.1 200"))
            let further = own + ["X-ClinicSync: 1"]
            let links = try await self.get(address, "/v1/dashboard-links", headers: further, method: "POST")
            #expect(links.hasPrefix("HTTP/1.1 401"))
        }
    }

    @Test("metrics are text for Prometheus, and need the token")
    func metrics() async throws {
        try await self.serve { address, _ in
            let host = "Host: \(address)"
            let refused = try await self.get(address, "/metrics", headers: [host])
            #expect(refused.hasPrefix("HTTP/1.1 401"))
            let answer = try await self.get(address, "/metrics", headers: [host, LocalAPIServerTests.authorization])
            #expect(answer.hasPrefix("HTTP/1.1 200") && answer.contains("text/plain; version=0.0.4"))
            #expect(answer.contains("\nclinicsync_event_position 9\n"))
        }
    }

    @Test("a page of an origin that the configuration names may ask, with the token")
    func allowedOrigins() async throws {
        let page = "http://127.0.0.1:8080"
        try await self.serve(allowedOrigins: [page]) { address, _ in
            let headers = ["Host: \(address)", "Origin: \(page)"]
            let preflight = try await self.get(address, "/v1/sync", headers: headers, method: "OPTIONS")
            #expect(preflight.hasPrefix("HTTP/1.1 204") && preflight.contains("Authorization, Content-Type"))
            let answer = try await self.get(
                address,
                "/v1/status",
                headers: headers + [LocalAPIServerTests.authorization]
            )
            #expect(answer.hasPrefix("HTTP/1.1 200"))
            #expect(answer.lowercased().contains("access-control-allow-origin: \(page)"))
            let without = try await self.get(address, "/v1/status", headers: headers)
            #expect(without.hasPrefix("HTTP/1.1 401"))
            let other = ["Host: \(address)", "Origin: http://127.0.0.1:8081"]
            let refused = try await self.get(address, "/v1/sync", headers: other, method: "OPTIONS")
            #expect(refused.hasPrefix("HTTP/1.1 403"))
            #expect(!refused.lowercased().contains("access-control-allow-origin"))
        }
    }

    @Test("every endpoint that is served is described in docs/openapi.yaml, and the other way round")
    func described() throws {
        let served = Set(LocalAPIRoutes(control: FixedControl().all, token: "t").endpoints)
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../docs/openapi.yaml")
        var described = Set<String>()
        var path = ""
        var isInPaths = false
        for line in try String(contentsOf: file.standardized, encoding: .utf8).split(separator: "\n") {
            if !line.hasPrefix(" ") { isInPaths = line == "paths:" }
            guard isInPaths else { continue }
            if let match = line.wholeMatch(of: #/  (/.*):/#) { path = String(match.1) }
            if let match = line.wholeMatch(of: #/    (get|post|put|delete|patch):/#) {
                described.insert("\(match.1.uppercased()) \(path)")
            }
        }
        #expect(described.count > 15)
        #expect(served.subtracting(described) == [], "served, but not described")
        #expect(described.subtracting(served) == [], "described, but not served")
    }

    @Test("notices and probes are asked for with JSON bodies, and with no other")
    func people() async throws {
        let control = FixedControl()
        try await self.serve(control) { address, _ in
            func post(_ path: String, _ body: String, type: String = "application/json") async throws -> String {
                let headers = [
                    "Host: \(address)", LocalAPIServerTests.authorization, "Content-Type: \(type)",
                    "Content-Length: \(body.utf8.count)",
                ]
                return try await self.get(address, path, headers: headers, method: "POST", body: body)
            }
            let made = try await post("/v1/notices", #"{"text":"hello","node":"lab"}"#)
            #expect(made.hasPrefix("HTTP/1.1 201"))
            #expect(made.contains(#"{"id":"notice 1"}"#))
            #expect(try await post("/v1/probe", "{}").contains(#"{"complete":true,"missing":[],"nodes":[]}"#))
            #expect(try await post("/v1/probe", #"{"timeout":"60s"}"#).hasPrefix("HTTP/1.1 200"))
            for wrong in [#"{"timeout":"61s"}"#, #"{"timeout":"0s"}"#, #"{"timeout":"soon"}"#, #"{"timeout":5}"#, "x"] {
                #expect(try await post("/v1/probe", wrong).hasPrefix("HTTP/1.1 400"), "\(wrong)")
            }
            for wrong in ["{}", #"{"text":5}"#, "[]"] {
                #expect(try await post("/v1/notices", wrong).hasPrefix("HTTP/1.1 400"), "\(wrong)")
            }
            #expect(try await post("/v1/notices", "text=hello", type: "text/plain").hasPrefix("HTTP/1.1 415"))
            #expect(control.calls.withLockedValue { $0 } == ["notify hello lab -", "probe 10s", "probe 1m"])
        }
    }
}
