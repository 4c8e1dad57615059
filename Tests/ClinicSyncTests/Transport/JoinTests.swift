import ClinicSync
import ClinicSyncCore
import ClinicSyncModel
import NIOCore
import NIOPosix
import Testing

@Suite("Joining over a connection", .timeLimit(.minutes(1)))
struct JoinTests {
    static let request = JoinRequest(secret: [1, 2], nodeID: MessageSamples.node, nodeName: "Labor")

    @Test("a request is answered, whatever the host says before", arguments: [16, 17])
    func answered(sample: Int) async throws {
        guard case .joinReply(let reply) = MessageSamples.all[sample - 1] else {
            Issue.record("sample \(sample) is no reply")
            return
        }
        let server = TestPeer()
        let address = try await server.transport.listen(on: "127.0.0.1:0")
        async let answer = JoinTests.join(address)
        let id = try await server.opened()
        #expect(try await server.messages(1, of: id) == [.joinRequest(JoinTests.request)])
        server.transport.send(.hello(MessageSamples.hello), over: [id])
        server.transport.send(.joinReply(reply), over: [id])
        server.transport.close(id, reason: .joinAnswered)
        #expect(try await answer == reply)
        try await server.wait { $0.closed == [id] ? true : nil }
        await server.transport.shutdown()
    }

    @Test("a host that turns the request away is told apart")
    func turnedAway() async throws {
        let server = TestPeer()
        let address = try await server.transport.listen(on: "127.0.0.1:0")
        async let answer = JoinTests.failure(address)
        server.transport.close(try await server.opened(), reason: .notHost)
        let error = await answer
        #expect(error?.code == .refused)
        #expect(error?.message.contains("not the host") == true)
        await server.transport.shutdown()
    }

    @Test("a host that says nothing runs into the time limit")
    func silence() async throws {
        let server = TestPeer()
        let address = try await server.transport.listen(on: "127.0.0.1:0")
        #expect(await JoinTests.failure(address, timeout: .milliseconds(300))?.code == .timeout)
        await server.transport.shutdown()
    }

    @Test("nobody there, a broken connection and wrong addresses are clear errors")
    func unreachable() async throws {
        let server = TestPeer()
        let address = try await server.transport.listen(on: "127.0.0.1:0")
        async let broken = JoinTests.failure(address)
        _ = try await server.opened()
        server.transport.cutAll()
        #expect(await broken?.code == .notReachable)
        await server.transport.shutdown()
        #expect(await JoinTests.failure(address)?.code == .notReachable)
        #expect(await JoinTests.failure("192.0.2.1:7443")?.code == .addressNotAllowed)
        #expect(await JoinTests.failure("nonsense")?.code == .malformedAddress)
    }

    private static func join(_ address: String, timeout: Duration = .seconds(20)) async throws -> JoinReply {
        try await PeerTransport.join(
            address: address,
            request: JoinTests.request,
            group: MultiThreadedEventLoopGroup.singleton,
            timeout: timeout
        )
    }

    private static func failure(_ address: String, timeout: Duration = .seconds(20)) async -> ClinicSyncError? {
        do {
            _ = try await JoinTests.join(address, timeout: timeout)
            return nil
        } catch {
            return error as? ClinicSyncError
        }
    }
}
