import ClinicSyncModel
import Foundation
import Testing

@testable import ClinicSync

@Suite(.timeLimit(.minutes(1))) struct ProgramTokenTests {
    private let directory: TemporaryDirectory
    private let tokens: ProgramTokens

    init() throws {
        self.directory = try TemporaryDirectory()
        self.tokens = ProgramTokens(NodeDirectory(url: self.directory.url))
    }

    /// The endpoints of each right, as docs/API.md names them.
    private func documented() throws -> [TokenRight: Set<String>] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../docs/API.md")
        let text = try String(contentsOf: file.standardized, encoding: .utf8)
        var endpoints: [TokenRight: Set<String>] = [:]
        for line in text.split(separator: "\n") {
            guard let match = line.wholeMatch(of: #/\| `(\w+)` \| (`GET .*|`POST .*) \|/#),
                let right = TokenRight(rawValue: String(match.1))
            else { continue }
            let named = match.2.matches(of: #/`((?:GET|POST|DELETE) [^`]*)`/#).map { String($0.1) }
            endpoints[right] = Set(named).subtracting(["GET /ws"])
        }
        return endpoints
    }

    @Test("a token opens the endpoints that API.md names for its right, and no other")
    func rights() async throws {
        let documented = try self.documented()
        #expect(Set(documented.keys) == Set(TokenRight.allCases))
        var secrets: [TokenRight: String] = [:]
        for right in TokenRight.allCases {
            secrets[right] = try self.tokens.add(right.rawValue, rights: [right], tables: [])
        }
        let all = secrets
        let served = LocalAPIRoutes(control: FixedControl().all, token: "t").endpoints
            .filter { $0.contains(" /v1/") || $0.hasSuffix("/metrics") }
        #expect(documented.values.reduce(into: []) { $0.formUnion($1) } == Set(served))
        let server = LocalAPIServerTests()
        try await server.serve(programs: self.tokens) { address, _ in
            // A stream of events never ends by itself; the next test reads one.
            for endpoint in served where endpoint != "GET /v1/events" {
                let parts = endpoint.split(separator: " ").map(String.init)
                let path = parts[1].replacing("{id}", with: "x")
                for (right, secret) in all {
                    let headers = ["Host: \(address)", "Authorization: Bearer \(secret)"]
                    let answer = try await server.get(address, path, headers: headers, method: parts[0])
                    let isRefused = answer.hasPrefix("HTTP/1.1 403") && answer.contains("right_missing")
                    #expect(isRefused != documented[right]?.contains(endpoint), "\(right) \(endpoint): \(answer)")
                }
            }
            let headers = ["Host: \(address)", "Authorization: Bearer \(all[.read] ?? "")"]
            let events = try await server.get(address, "/v1/events", headers: headers)
            #expect(events.hasPrefix("HTTP/1.1 403"))
        }
    }

    @Test("a token with tables gets changes of these tables and no other event; one without the right gets none")
    func tables() async throws {
        let queue = try self.tokens.add("queue", rights: [.events], tables: ["patient_queue"])
        let reader = try self.tokens.add("reader", rights: [.read], tables: [])
        let control = FixedControl()
        try await LocalAPIServerTests().serve(control, programs: self.tokens) { address, _ in
            try await EventSocketClient(address: address, token: queue).run { socket in
                try await socket.send(#"{"type":"subscribe","categories":["user"]}"#)
                try await expectText(from: &socket, containing: #""tables":["patient_queue"]"#)
                control.events.publishSystem("peer_lost")
                control.events.publish(named: [.sessionEnded("s", user: "u")])
                // Had one of the events passed, it would be the next message.
                try await socket.send(#"{"type":"ping"}"#)
                try await expect(.text(#"{"type":"pong"}"#), from: &socket)
                try await socket.send(#"{"type":"subscribe","tables":["patients"]}"#)
                try await expectText(from: &socket, containing: "right_missing")
            }
            try await EventSocketClient(address: address, token: reader).run { socket in
                try await socket.send(#"{"type":"subscribe"}"#)
                try await expectText(from: &socket, containing: "right_missing")
            }
        }
    }

    @Test("a running node takes a new token and forgets a removed one at the next request, and drops its socket")
    func changes() throws {
        let dashboard = DashboardAccess(token: "t")
        let access = LocalAPIAccess(token: "t", programs: tokens, dashboard: dashboard)
        #expect(access.grant(token: Array("t".utf8)) == .node)
        let secret = Array(try self.tokens.add("page", rights: [.read], tables: []).utf8)
        let grant = try #require(access.grant(token: secret))
        #expect(grant.rights == [.read])
        #expect(access.grant(token: secret.dropLast()) == nil)
        let authorization = SocketAuthorization(access)
        var machine = EventSocketStateMachine(
            limits: EventSocketLimits(),
            authorization: authorization,
            grant: grant
        )
        #expect(machine.pingDue() == .none)
        try self.tokens.remove("page")
        #expect(access.grant(token: secret) == nil)
        #expect(machine.pingDue() == .close(code: EventSocketCloseCode.unauthorized, reason: "unauthorized"))
        // A token of the same name is another token.
        _ = try self.tokens.add("page", rights: [.read], tables: [])
        #expect(access.grant(token: secret) == nil)
    }

    @Test("what cannot be a token is refused with a reason, and the file has no secret")
    func refusals() throws {
        let secret = try self.tokens.add("page", rights: [.events], tables: ["patients"])
        let file = try #require(try self.tokens.list().first)
        #expect(!"\(file)".contains(secret))
        #expect(throws: ClinicSyncError.self) { try self.tokens.add("page", rights: [.read], tables: []) }
        #expect(throws: ClinicSyncError.self) { try self.tokens.add("", rights: [.read], tables: []) }
        #expect(throws: ClinicSyncError.self) { try self.tokens.add("other", rights: [], tables: []) }
        #expect(throws: ClinicSyncError.self) { try self.tokens.add("other", rights: [.events, .read], tables: ["t"]) }
        #expect(throws: ClinicSyncError.self) { try self.tokens.remove("other") }
        for number in 1..<ProgramTokens.countMax { _ = try self.tokens.add("\(number)", rights: [.read], tables: []) }
        #expect(throws: ClinicSyncError.self) { try self.tokens.add("one more", rights: [.read], tables: []) }
        #expect(try self.tokens.list().map(\.name).prefix(2) == ["page", "1"])
    }
}
