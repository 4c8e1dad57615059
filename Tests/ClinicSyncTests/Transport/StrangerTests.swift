import ClinicSyncCore
import ClinicSyncModel
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Testing
import X509

@testable import ClinicSync

@Suite("Who is no member gets nothing", .timeLimit(.minutes(1)))
struct StrangerTests {
    /// The certificate of a stranger, and the reason of the refusal.
    enum Stranger: CaseIterable {
        case withoutCertificate, ofAnotherClinic, selfSigned, expired, notYetValid, wrongUsage
        case underAnotherName, oldTLS

        var reason: RefusalReason {
            switch self {
            case .withoutCertificate, .oldTLS: .handshakeFailed
            // The other clinic's authority has the same name as ours.
            case .ofAnotherClinic: .foreign
            case .selfSigned: .notAMember
            case .expired: .expired
            case .notYetValid: .notYetValid
            case .wrongUsage: .wrongUsage
            case .underAnotherName: .identityMismatch
            }
        }

        func context() throws -> NIOSSLContext {
            let clinic = try TestClinic.shared.get()
            return switch self {
            case .withoutCertificate: try TestIdentity.clientContext(nil)
            case .ofAnotherClinic: try TestClinic().issue().clientContext()
            case .selfSigned: try TestClinic.selfSigned().clientContext()
            case .expired: try clinic.issue(days: -32 ... -1).clientContext()
            case .notYetValid: try clinic.issue(days: 1...31).clientContext()
            case .wrongUsage: try clinic.issue(usage: try ExtendedKeyUsage([.emailProtection])).clientContext()
            case .underAnotherName: try clinic.issue(named: MessageSamples.node).clientContext()
            case .oldTLS: try clinic.issue().clientContext(maximum: .tlsv12)
            }
        }
    }

    @Test("a stranger that asks for the messages gets no byte", arguments: Stranger.allCases)
    func strangers(stranger: Stranger) async throws {
        let pair = try await TestPair(server: try TestPeer(enrollment: TestEnrollment()))
        let socket = try await RawSocket(pair.address, tls: try stranger.context())
        socket.send(RawSocket.request())
        #expect(try await socket.closed() == [])
        try await pair.server.refused(stranger.reason)
        #expect(pair.server.seen.opened.count == 1)
        #expect(pair.server.transport.refusedConnections == 1)
        try await pair.expectWorking()
    }

    @Test("where nobody can enroll, an applicant is not even asked what it wants")
    func noEnrollment() async throws {
        let pair = try await TestPair()
        let socket = try await RawSocket(pair.address, tls: try TestClinic.selfSigned().clientContext())
        #expect(try await socket.closed() == [])
        try await pair.server.refused(.notAMember)
        try await pair.expectWorking()
    }

    /// The bytes of a stranger that does not use TLS.
    enum PlainBytes: CaseIterable {
        case http, noise, longRecord

        var bytes: [UInt8] {
            switch self {
            case .http: Array(RawSocket.request().utf8)
            case .noise: (0..<5_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            // A handshake record that announces more bytes than a handshake may have.
            case .longRecord: [0x16, 0x03, 0x01, 0xFF, 0xFF] + Array(repeating: 1, count: 3_000)
            }
        }
    }

    @Test("who speaks no TLS gets at most an alert", arguments: PlainBytes.allCases)
    func plain(sent: PlainBytes) async throws {
        let pair = try await TestPair()
        let socket = try await RawSocket(pair.address)
        socket.send(sent.bytes)
        let answer = try await socket.closed()
        // Record type 21 and seven bytes in all: RFC 8446, 5.1 and 6.
        #expect(answer.isEmpty || (answer[0] == 0x15 && answer.count == 7))
        try await pair.server.refused(.handshakeFailed)
        try await pair.expectWorking()
    }

    @Test("who says nothing, or a byte now and then, is closed in time", arguments: [[], [0x16], [0x16, 0x03, 0x01]])
    func slow(bytes: [UInt8]) async throws {
        var limits = TestPeer.patient
        limits.upgradeTimeout = .seconds(1)
        let pair = try await TestPair(server: try TestPeer(limits: limits))
        let socket = try await RawSocket(pair.address)
        for byte in bytes { socket.send([byte]) }
        #expect(try await socket.closed() == [])
        try await pair.server.refused(.tooSlow)
        try await pair.expectWorking()
    }

    @Test("a revoked node that dials is told by its revocation and gets nothing else")
    func revoked() async throws {
        let pair = try await TestPair(server: try TestPeer(enrollment: TestEnrollment()))
        let former = try TestPeer()
        pair.server.authenticator.revoke(former.identity.node, notice: [4, 5, 6])
        former.transport.dial(pair.address)
        let id = try await former.opened()
        former.send(.ping(Ping(id: 3)), over: [id])
        try await former.wait { $0.closed == [id] ? true : nil }
        #expect(former.seen.messages[id] == [.revocation([4, 5, 6]), .goodbye(.revoked)])
        try await pair.server.refused(.revoked)
        #expect(pair.server.seen.opened.count == 1)
        // The server sends nothing on the other path, not even a refusal.
        let socket = try await RawSocket(pair.address, tls: try former.identity.clientContext())
        socket.send(RawSocket.enrollmentRequest)
        #expect(try await socket.closed() == [])
        try await pair.server.refused(.revoked, times: 2)
        await former.transport.shutdown()
        try await pair.expectWorking()
    }

    @Test("a node that is no member is not talked to when dialled", arguments: [true, false])
    func foreignHost(isForeign: Bool) async throws {
        let impostor = try TestPeer(isForeign ? try TestClinic().issue() : try TestClinic.selfSigned())
        let address = try await impostor.transport.listen(on: "127.0.0.1:0")
        let client = try TestPeer()
        client.transport.dial(address)
        #expect(try await client.wait { $0.failedDials.first } == address)
        try await client.refused(isForeign ? .foreign : .notAMember)
        #expect(client.seen.failures == [.foreign])
        #expect(client.seen.opened.isEmpty)
        await client.transport.shutdown()
        await impostor.transport.shutdown()
        #expect(impostor.seen.opened.isEmpty)
    }

    @Test("a dial that the other side refuses fails once and is told in the log alone")
    func turnedAway() async throws {
        let server = try TestPeer()
        let address = try await server.transport.listen(on: "127.0.0.1:0")
        let client = try TestPeer(try TestClinic.shared.get().issue(days: -32 ... -1))
        client.transport.dial(address)
        #expect(try await client.wait { $0.failedDials.first } == address)
        try await client.refused(.turnedAway)
        #expect(client.transport.refusedConnections == 0)
        try await server.refused(.expired)
        await client.transport.shutdown()
        await server.transport.shutdown()
        #expect(client.seen.failures == [.turnedAway] && client.seen.opened.isEmpty)
    }

    // MARK: - Connections that live

    @Test("a member that is revoked loses its connections within a second and is told why")
    func reviewRevoked() async throws {
        let pair = try await TestPair()
        let other = try TestPeer()
        other.transport.dial(pair.address)
        let otherSide = try await pair.server.opened(1)
        pair.server.authenticator.revoke(pair.client.identity.node, notice: [9])
        let start = ContinuousClock.now
        pair.server.transport.reviewPeers()
        // Messages after the review are not sent.
        pair.server.send(.ping(Ping(id: 7)), over: [pair.serverSide])
        try await pair.client.wait { $0.closed == [pair.clientSide] ? true : nil }
        try await pair.server.wait { $0.closed == [pair.serverSide] ? true : nil }
        #expect(ContinuousClock.now - start < .seconds(1))
        #expect(pair.client.seen.messages[pair.clientSide] == [.revocation([9]), .goodbye(.revoked)])
        other.send(.ping(Ping(id: 8)), over: [try await other.opened()])
        #expect(try await pair.server.messages(1, of: otherSide) == [.ping(Ping(id: 8))])
        await other.transport.shutdown()
        await pair.shutdown()
        #expect(pair.server.seen.misplaced == 0)
    }

    @Test("a member whose certificate runs out is asked to come back")
    func reviewExpired() async throws {
        let pair = try await TestPair()
        pair.server.transport.reviewPeers()
        pair.server.send(.ping(Ping(id: 7)), over: [pair.serverSide])
        _ = try await pair.client.messages(1, of: pair.clientSide)
        pair.server.authenticator.passTime(days: 31)
        pair.server.transport.reviewPeers()
        try await pair.client.wait { $0.closed == [pair.clientSide] ? true : nil }
        #expect(pair.client.seen.messages[pair.clientSide] == [.ping(Ping(id: 7)), .goodbye(.notAMember)])
        await pair.shutdown()
    }

    @Test("the node that dialled drops a revoked one as well")
    func reviewDialled() async throws {
        let pair = try await TestPair()
        pair.client.authenticator.revoke(pair.server.identity.node, notice: [9])
        pair.client.transport.reviewPeers()
        try await pair.server.wait { $0.closed == [pair.serverSide] ? true : nil }
        #expect(pair.server.seen.messages[pair.serverSide] == [.revocation([9]), .goodbye(.revoked)])
        await pair.shutdown()
    }

    // MARK: - Another implementation of TLS

    @Test("openssl gets no byte, without a certificate and with one of another clinic", arguments: [true, false])
    func openssl(hasCertificate: Bool) async throws {
        let pair = try await TestPair(server: try TestPeer(enrollment: TestEnrollment()))
        let directory = try TemporaryDirectory()
        let file = directory.file("identity.pem")
        try Data(TestClinic().issue().pem.utf8).write(to: file)
        let output = try await StrangerTests.openssl(
            pair.address,
            hasCertificate ? ["-cert", file.path(), "-key", file.path()] : []
        )
        #expect(output.standardOutput == "")
        try await pair.server.refused(hasCertificate ? .foreign : .handshakeFailed)
        try await pair.expectWorking()
    }

    @Test("a resumed TLS session shows no certificate, so it gets nothing")
    func resumption() async throws {
        let pair = try await TestPair(server: try TestPeer(limits: HostilePeerTests.brisk))
        let directory = try TemporaryDirectory()
        let file = directory.file("identity.pem")
        let session = directory.file("session.pem").path()
        try Data(TestClinic.shared.get().issue().pem.utf8).write(to: file)
        async let first = StrangerTests.openssl(
            pair.address,
            ["-cert", file.path(), "-key", file.path(), "-sess_out", session]
        )
        // A member is upgraded, so the session is valid. The tickets came before the answer.
        pair.server.transport.close(try await pair.server.opened(1), reason: .replaced)
        #expect(try await first.standardOutput.hasPrefix("HTTP/1.1 101 "))
        #expect(FileManager.default.fileExists(atPath: session))
        let second = try await StrangerTests.openssl(pair.address, ["-sess_in", session])
        #expect(second.standardOutput == "")
        try await pair.server.refused(.unjudged)
        #expect(pair.server.seen.opened.count == 2)
        try await pair.expectWorking()
    }

    /// Sends a request for an upgrade, and returns all bytes until the server closes.
    private static func openssl(_ address: String, _ arguments: [String]) async throws -> Program.Output {
        try await NIOThreadPool.singleton.runIfActive {
            try Program.run(
                "timeout",
                ["40", "openssl", "s_client", "-connect", address, "-quiet"] + arguments,
                input: RawSocket.request()
            )
        }
    }
}
