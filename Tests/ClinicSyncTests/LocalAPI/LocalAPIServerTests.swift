import ClinicSyncModel
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

    /// A node that answers from memory and remembers what it was asked.
    struct FixedControl: NodeControl {
        let events = LoggedBroadcaster()
        var eventSource: EventBroadcaster { self.events.broadcaster }
        let calls = NIOLockedValueBox<[String]>([])

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

        func digest(table: String?) async throws -> DigestSummary {
            guard table != "nope" else { throw ClinicSyncError(.usage, "There is no table nope.") }
            return DigestSummary([TableDigest(name: "patients", rows: 1, digest: Digest(high: 0, low: 10))])
        }

        func sync(table: String?, timeout: Duration) async throws -> SyncSummary {
            self.calls.withLockedValue { $0.append("sync \(table ?? "-") \(DurationText.format(timeout))") }
            return SyncSummary(SyncReport(id: 1, result: .equal, repairedRows: 0, nodes: []), took: .milliseconds(9))
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

        func events(_ filter: EventFilter) async throws -> EventSubscription { self.eventSource.subscribe(filter) }
    }

    /// Serves on a free port while `body` runs, then stops gracefully.
    private func serve(
        _ control: FixedControl = FixedControl(),
        _ body: @escaping @Sendable (NetworkAddress, ServiceGroup) async throws -> Void
    ) async throws {
        let (addresses, listening) = AsyncStream<NetworkAddress>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let server = LocalAPIServer(
            address: NetworkAddress(host: "127.0.0.1", port: 0),
            token: LocalAPIServerTests.token,
            control: control,
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

    private func get(
        _ address: NetworkAddress,
        _ path: String,
        headers: [String],
        method: String = "GET",
        body: String = ""
    ) async throws -> String {
        let lines = ["\(method) \(path) HTTP/1.1"] + headers + ["Connection: close"]
        return try await self.exchange(address, lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
    }

    private static let authorization = "Authorization: Bearer \(token)"

    @Test("health needs no token and says nothing else")
    func health() async throws {
        try await self.serve { address, _ in
            let answer = try await self.get(address, "/health", headers: ["Host: \(address)"])
            #expect(answer.hasPrefix("HTTP/1.1 200"))
            #expect(answer.hasSuffix("\r\n\r\n"))
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
                    + #""conflicts":{"open":8},"duplicateIdentities":[],"host":null,"lastReconciliation":null,"#
                    + #""node":{"id":"n","name":"desk","schemaVersion":2,"uptimeSeconds":3,"version":"1"},"#
                    + #""peers":[],"pendingChanges":6,"progress":null,"role":"searching","#
                    + #""security":{"certificateExpires":"1970-01-01T00:00:00.000Z","maySign":true,"#
                    + #""refusedConnections":6,"revokedNodes":7},"tables":[],"term":4,"#
                    + #""waiting":[]}"# + "\n"
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
                control: FixedControl(),
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
            control: FixedControl(),
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
}
