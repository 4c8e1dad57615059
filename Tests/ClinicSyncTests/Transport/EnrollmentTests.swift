import ClinicSyncModel
import ClinicSyncWire
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import Testing

@testable import ClinicSync

/// A desk that gives every request the same answer, and remembers the requests.
final class TestEnrollment: EnrollmentService {
    struct Asked: Sendable, Hashable {
        var request: EnrollmentRequest
        var challenge: EnrollmentChallenge
        var peer: EnrollmentPeer
    }

    private let asked = NIOLockedValueBox<[Asked]>([])
    private let reply: @Sendable () -> EnrollmentReply

    init(reply: @escaping @Sendable () -> EnrollmentReply = { .refused(.unknownCode) }) {
        self.reply = reply
    }

    var requests: [Asked] { self.asked.withLockedValue { $0 } }

    func makeChallenge() -> EnrollmentChallenge {
        EnrollmentChallenge(nonce: (0..<EnrollmentChallenge.nonceBytes).map { _ in .random(in: .min ... .max) })
    }

    func answer(
        _ request: EnrollmentRequest,
        to challenge: EnrollmentChallenge,
        from peer: EnrollmentPeer
    ) -> EnrollmentReply {
        self.asked.withLockedValue { $0.append(Asked(request: request, challenge: challenge, peer: peer)) }
        return self.reply()
    }
}

@Suite("Enrollments over a connection", .timeLimit(.minutes(1)))
struct EnrollmentTests {
    static let request = EnrollmentRequest.renew(certificateRequest: [1, 2, 3])
    static let reply = EnrollmentReply.renewed(certificates: [[4, 5], [6]])
    /// The head of a client's binary frame of one byte, an unknown field.
    static let nonsense: [UInt8] = [0x82, 0x81, 0, 0, 0, 0, 0xFF]

    @Test("an applicant, a member and one whose certificate ran out may ask, each as what it is")
    func asked() async throws {
        let service = TestEnrollment { EnrollmentTests.reply }
        let pair = try await TestPair(server: try TestPeer(enrollment: service))
        let clinic = try TestClinic.shared.get()
        let askers = [try TestClinic.selfSigned(), try clinic.issue(), try clinic.issue(days: -32 ... -1)]
        for asker in askers {
            let seen = NIOLockedValueBox<(EnrollmentChallenge, [UInt8])?>(nil)
            let reply = try await EnrollmentTests.enroll(pair.address, as: asker) { challenge, certificate in
                seen.withLockedValue { $0 = (challenge, certificate) }
                return EnrollmentTests.request
            }
            #expect(reply == EnrollmentTests.reply)
            let asked = try #require(service.requests.last)
            #expect(asked.request == EnrollmentTests.request)
            #expect(asked.peer.certificate == (try asker.der))
            #expect(asked.peer.address == "127.0.0.1")
            #expect(asked.challenge == seen.withLockedValue { $0?.0 })
            #expect(seen.withLockedValue { $0?.1 } == (try pair.server.identity.der))
        }
        let standings = service.requests.map(\.peer.standing)
        #expect(standings[0] == .applicant(askers[0].node))
        #expect(standings[1].isMember)
        guard case .expired = standings[2] else { throw StandingMismatch() }
        #expect(Set(service.requests.map(\.challenge)).count == 3)
        #expect(pair.server.transport.refusedConnections == 0)
        #expect(pair.server.seen.opened.count == 1)
        try await pair.expectWorking()
    }

    private struct StandingMismatch: Error {}

    @Test("an answer as large as may be arrives whole")
    func largeReply() async throws {
        let revocations = [[UInt8]](repeating: [UInt8](repeating: 7, count: 32 << 10), count: 64)
        let reply = EnrollmentReply.joined(
            Membership(
                clinicID: "k7q",
                clinicName: "Praxis",
                certificates: [[1]],
                authority: [2],
                hostID: MessageSamples.node,
                hostAddresses: ["127.0.0.1:7443"],
                revocations: revocations
            )
        )
        let pair = try await TestPair(server: try TestPeer(enrollment: TestEnrollment { reply }))
        #expect(try await EnrollmentTests.enroll(pair.address) == reply)
        try await pair.expectWorking()
    }

    @Test("a node of another clinic is told apart, and is sent nothing")
    func impostor() async throws {
        let service = TestEnrollment()
        let impostor = try TestPeer(try TestClinic().issue(), enrollment: service)
        let address = try await impostor.transport.listen(on: "127.0.0.1:0")
        let error = await EnrollmentTests.failure(address)
        #expect(error?.code == .refused)
        #expect(error?.message.hasPrefix("A node of another clinic, or an impostor, answers at \(address)") == true)
        await impostor.transport.shutdown()
        #expect(service.requests.isEmpty)
    }

    @Test("nobody there, no node, no enrollment, wrong addresses and errors of the caller are told apart")
    func failures() async throws {
        let server = try TestPeer()
        let address = try await server.transport.listen(on: "127.0.0.1:0")
        #expect(await EnrollmentTests.failure(address)?.code == .refused)
        await server.transport.shutdown()
        #expect(await EnrollmentTests.failure(address)?.code == .notReachable)
        #expect(await EnrollmentTests.failure("192.0.2.1:7443")?.code == .addressNotAllowed)
        #expect(await EnrollmentTests.failure("nonsense")?.code == .malformedAddress)
        let plain = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.writeAndFlush(ByteBuffer(string: "220 mail.example ESMTP\r\n"), promise: nil)
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let error = await EnrollmentTests.failure("127.0.0.1:\(plain.localAddress?.port ?? 0)")
        #expect(error?.code == .notReachable)
        #expect(error?.message.contains("is no clinic node") == true)
        try await plain.close()
        let pair = try await TestPair(server: try TestPeer(enrollment: TestEnrollment()))
        await #expect(throws: Wrong.self) {
            try await EnrollmentTests.enroll(pair.address) { _, _ in throw Wrong() }
        }
        try await pair.expectWorking()
    }

    private struct Wrong: Error {}

    @Test("an answer that does not come in time is a time-out")
    func silence() async throws {
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let address = "127.0.0.1:\(listener.localAddress?.port ?? 0)"
        #expect(await EnrollmentTests.failure(address, timeout: .milliseconds(300))?.code == .timeout)
        try await listener.close()
    }

    @Test(
        "an applicant that breaks the rules is closed without an answer",
        arguments: [
            // Random bytes; text; an unmasked frame; the announcement of 16 KiB and one byte; a continuation without
            // a first frame.
            nonsense, [0x81, 0x81, 0, 0, 0, 0, 97], [0x82, 0x02, 0x08, 0x01],
            [0x82, 0xFE, 0x40, 0x01, 0, 0, 0, 0], [0x80, 0x81, 0, 0, 0, 0, 1],
            // A challenge, which only the node that is asked sends.
            [0x82, 0x80 | 36, 0, 0, 0, 0, 0x0A, 0x22, 0x0A, 0x20] + Array(repeating: 1, count: 32),
        ] as [[UInt8]]
    )
    func brokenRules(frame: [UInt8]) async throws {
        let service = TestEnrollment()
        let pair = try await TestPair(server: try TestPeer(enrollment: service))
        let socket = try await EnrollmentTests.applicant(pair)
        socket.send(frame)
        let answer = try await socket.closed()
        // The response and the challenge, nothing else: 2 bytes of frame head, 36 of the message.
        #expect(EnrollmentTests.body(of: answer).count == 38)
        try await pair.server.refused(.protocolViolation)
        #expect(service.requests.isEmpty)
        try await pair.expectWorking()
    }

    @Test("fragments without end are cut off at 16 KiB")
    func endlessFragments() async throws {
        let pair = try await TestPair(server: try TestPeer(enrollment: TestEnrollment()))
        let socket = try await EnrollmentTests.applicant(pair)
        let fragment: [UInt8] = [0xFE, 0x04, 0x00, 0, 0, 0, 0] + Array(repeating: 0, count: 1_024)
        socket.send([0x02] + fragment + (0..<16).flatMap { _ in [0x00] + fragment })
        _ = try await socket.closed()
        try await pair.server.refused(.protocolViolation)
        try await pair.expectWorking()
    }

    @Test("an applicant that asks nothing is closed in time")
    func slowApplicant() async throws {
        var limits = TestPeer.patient
        limits.enrollmentTimeout = .milliseconds(300)
        let pair = try await TestPair(server: try TestPeer(limits: limits, enrollment: TestEnrollment()))
        let socket = try await EnrollmentTests.applicant(pair)
        _ = try await socket.closed()
        try await pair.server.refused(.tooSlow)
        try await pair.expectWorking()
    }

    @Test("no more enrollments at once than may be, and a place becomes free again", arguments: [true, false])
    func limit(isPerAddress: Bool) async throws {
        var limits = TestPeer.patient
        if isPerAddress { limits.enrollmentsPerAddressMax = 2 } else { limits.enrollmentsMax = 2 }
        if !isPerAddress { limits.enrollmentsPerAddressMax = 100 }
        let service = TestEnrollment { EnrollmentTests.reply }
        let pair = try await TestPair(server: try TestPeer(limits: limits, enrollment: service))
        let first = try await EnrollmentTests.applicant(pair)
        let second = try await EnrollmentTests.applicant(pair)
        let third = try await RawSocket(pair.address, tls: try TestClinic.selfSigned().clientContext())
        third.send(RawSocket.enrollmentRequest)
        #expect(EnrollmentTests.body(of: try await third.closed()) == [])
        try await pair.server.refused(.tooManyEnrollments)
        first.close()
        second.close()
        _ = try await first.closed()
        let address = pair.address
        // The server may learn of the close after this check.
        var reply: EnrollmentReply?
        while reply == nil {
            do { reply = try await EnrollmentTests.enroll(address) } catch let error as ClinicSyncError {
                #expect(error.code == .refused || error.code == .notReachable)
            }
        }
        #expect(reply == EnrollmentTests.reply)
        try await pair.expectWorking()
    }

    // MARK: - Askers

    /// A socket of a PC that is not a member yet, with its challenge.
    private static func applicant(_ pair: TestPair) async throws -> RawSocket {
        let socket = try await RawSocket(pair.address, tls: try TestClinic.selfSigned().clientContext())
        socket.send(RawSocket.enrollmentRequest)
        try await socket.received { EnrollmentTests.body(of: $0).count >= 38 }
        return socket
    }

    /// The bytes after the head of a response.
    private static func body(of bytes: [UInt8]) -> [UInt8] {
        guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: Array("\r\n\r\n".utf8)) }) else {
            return []
        }
        return Array(bytes[(end + 4)...])
    }

    @discardableResult
    private static func enroll(
        _ address: String,
        as identity: TestIdentity? = nil,
        timeout: Duration = .seconds(20),
        makeRequest: @escaping @Sendable (EnrollmentChallenge, [UInt8]) throws -> EnrollmentRequest = { _, _ in request
        }
    ) async throws -> EnrollmentReply {
        let identity = try identity ?? TestClinic.selfSigned()
        let judge = try TestAuthenticator(identity, of: TestClinic.shared.get())
        return try await EnrollmentInquiry.enroll(
            address: address,
            context: try identity.clientContext(),
            judge: { await judge.judge($0) },
            isLANOnly: true,
            group: MultiThreadedEventLoopGroup.singleton,
            timeout: timeout,
            makeRequest: makeRequest
        )
    }

    private static func failure(_ address: String, timeout: Duration = .seconds(20)) async -> ClinicSyncError? {
        do {
            try await EnrollmentTests.enroll(address, timeout: timeout)
            return nil
        } catch {
            return error as? ClinicSyncError
        }
    }
}
