import ClinicSyncModel
import Crypto
import Foundation
import NIOConcurrencyHelpers
import NIOPosix
import Testing

@testable import ClinicSync

@Suite("Join codes at the host")
struct EnrollmentDeskTests {
    private let clinic: TestAuthority
    private let host: TestDesk

    init() throws {
        self.clinic = try TestAuthority()
        self.host = try TestDesk(self.clinic)
    }

    @Test("a code makes one PC a member, and a second is told that it was used")
    func once() throws {
        let code = try self.host.invite()
        #expect(code.pin == self.clinic.host.clinicID)
        let membership = try #require(try self.host.ask(self.host.attempt(code)).membership)
        #expect(membership.clinicID == self.clinic.host.clinicID.description)
        #expect(membership.clinicName == "Clinic")
        #expect(membership.hostID == self.clinic.host.nodeID)
        #expect(membership.hostAddresses == ["192.168.1.10:7450"])
        #expect(membership.authority == self.clinic.authority.der)
        #expect(try self.host.ask(self.host.attempt(code)).refusal == .usedCode)
    }

    @Test("a PC that joined is listed where it joined, after a restart too, once, and for 30 days")
    func admissions() throws {
        let code = try self.host.invite(uses: 3)
        let attempt = try self.host.attempt(code, name: "Lab")
        for _ in 0..<2 { _ = try self.host.ask(attempt) }
        #expect(self.host.desk.admissions.map(\.name) == ["Lab"])
        #expect(self.host.desk.admissions.map(\.node) == [attempt.nodeID.description])
        let again = try TestDesk(self.clinic)
        #expect(again.desk.admissions == self.host.desk.admissions)
        self.clinic.clock.advance(minutes: 30 * 24 * 60)
        _ = try again.ask(again.attempt(try again.invite(), name: "Desk"))
        #expect(again.desk.admissions.map(\.name) == ["Desk"])
    }

    @Test("a PC that asks again with its key, because it was interrupted, uses nothing of the code")
    func again() throws {
        let code = try self.host.invite()
        let key = SigningKey()
        for _ in 1...3 { #expect(try self.host.ask(self.host.attempt(code, key: key)).membership != nil) }
        #expect(try self.host.ask(self.host.attempt(code)).refusal == .usedCode)
        // Also after a restart of the host.
        let restarted = try TestDesk(self.clinic)
        #expect(try restarted.ask(restarted.attempt(code, key: key)).membership != nil)
    }

    @Test("a name that a member has, or that another PC has just got, is refused and costs no use of the code")
    func takenNames() throws {
        let code = try self.host.invite(uses: 2)
        #expect(try self.host.ask(self.host.attempt(code, name: "host")).refusal == .nameTaken)
        let key = SigningKey()
        #expect(try self.host.ask(self.host.attempt(code, name: "Lab", key: key)).membership != nil)
        #expect(try self.host.ask(self.host.attempt(code, name: "LAB")).refusal == .nameTaken)
        #expect(try self.host.ask(self.host.attempt(code, name: "Lab", key: key)).membership != nil)
        #expect(try self.host.ask(self.host.attempt(code, name: "Lab 2")).membership != nil)
        #expect(try self.host.ask(self.host.attempt(code, name: "Lab 2")).refusal == .usedCode)
    }

    @Test("whoever does not prove the secret is told nothing: not that a code was used, not that it expired")
    func toldNothing() throws {
        let used = try self.host.invite()
        _ = try self.host.ask(self.host.attempt(used))
        let expired = try self.host.invite(minutes: 1)
        self.clinic.clock.advance(minutes: 2)
        for code in [used, expired] {
            let challenge = self.host.desk.makeChallenge()
            let attempt = try self.host.attempt(code)
            let request = try attempt.request(to: challenge, hostCertificate: self.clinic.host.certificates[0])
            guard case .join(var join) = request else { throw ClinicSyncError(.usage, "") }
            join.proof[0] ^= 1
            #expect(self.host.answer(.join(join), to: challenge, attempt).refusal == .unknownCode)
        }
        #expect(try self.host.ask(self.host.attempt(used)).refusal == .usedCode)
        #expect(try self.host.ask(self.host.attempt(expired)).refusal == .expiredCode)
    }

    @Test("a code is good to the last moment before its end, and remembered for a day after it")
    func expiry() throws {
        let codes = try (0..<3).map { _ in try self.host.invite(minutes: 30) }
        self.clinic.clock.set(TestWallClock.start + 30 * 60_000 - 1)
        #expect(try self.host.ask(self.host.attempt(codes[0])).membership != nil)
        self.clinic.clock.set(TestWallClock.start + 30 * 60_000)
        #expect(try self.host.ask(self.host.attempt(codes[1])).refusal == .expiredCode)
        self.clinic.clock.set(TestWallClock.start + 30 * 60_000 + 86_400_000 - 1)
        #expect(try self.host.ask(self.host.attempt(codes[2])).refusal == .expiredCode)
        self.clinic.clock.advance(minutes: 1)
        #expect(try self.host.ask(self.host.attempt(codes[2])).refusal == .unknownCode)
    }

    @Test("a code is good as often as it was made for, however many ask at once", arguments: [1, 3])
    func concurrency(uses: Int) async throws {
        let code = try self.host.invite(uses: uses)
        let attempts = try (0..<24).map { _ in try self.host.attempt(code) }
        let host = self.host
        let replies = try await withThrowingTaskGroup(of: EnrollmentReply.self) { tasks in
            for attempt in attempts {
                tasks.addTask { try await NIOThreadPool.singleton.runIfActive { try host.ask(attempt) } }
            }
            return try await tasks.reduce(into: []) { $0.append($1) }
        }
        #expect(replies.count { $0.membership != nil } == uses)
        #expect(replies.count { $0.refusal == .usedCode } == 24 - uses)
    }

    @Test("a restart forgets no code and brings none back")
    func restart() throws {
        let used = try self.host.invite()
        let open = try self.host.invite()
        _ = try self.host.ask(self.host.attempt(used))
        let again = try TestDesk(self.clinic)
        #expect(try again.ask(again.attempt(used)).refusal == .usedCode)
        #expect(try again.ask(again.attempt(open)).membership != nil)
    }

    @Test("the file of codes is the account's alone and holds nothing that one could join with")
    func file() throws {
        let code = try self.host.invite()
        let directory = self.clinic.directories[0]
        #expect(try directory.mode(of: "identity/invitations.json") == 0o600)
        let text = try String(contentsOf: directory.file("identity/invitations.json"), encoding: .utf8)
        let secret = Data(code.secret)
        #expect(!text.contains(secret.base64EncodedString()))
        #expect(!text.contains(secret.map { String($0, radix: 16) }.joined()))
        #expect(text.contains(Data(JoinProof.invitationID(secret: code.secret)).base64EncodedString()))
    }

    @Test("a code that could not be written down as used lets nobody in, and is still good afterwards")
    func storageFails() throws {
        let code = try self.host.invite()
        let url = NodeDirectory(url: self.clinic.directories[0].url).invitationsURL
        let good = try #require(try AtomicFile.read(url))
        try FileManager.default.removeItem(at: url)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        #expect(try self.host.ask(self.host.attempt(code)).refusal == .storageFailed)
        #expect(throws: ClinicSyncError.self) { try self.host.invite() }
        try FileManager.default.removeItem(at: url)
        try AtomicFile.write(good, to: url, mode: 0o600)
        #expect(try self.host.ask(self.host.attempt(code)).membership != nil)
    }

    // MARK: - Replay and guessing

    @Test("a recorded request is of no use on another connection, for another host, PC or key")
    func replay() throws {
        let code = try self.host.invite(uses: 10)
        let attempt = try self.host.attempt(code)
        let challenge = self.host.desk.makeChallenge()
        let own = self.clinic.host.certificates[0]
        let request = try attempt.request(to: challenge, hostCertificate: own)
        let other = self.host.desk.makeChallenge()
        #expect(other != challenge)
        #expect(self.host.answer(request, to: other, attempt).refusal == .unknownCode)
        // A PC that recorded the request shows its own certificate.
        let thief = try self.host.attempt(self.host.invite())
        #expect(self.host.answer(request, to: challenge, thief).refusal == .malformed)
        guard case .join(var join) = request else { throw ClinicSyncError(.usage, "") }
        let theirs = try thief.request(to: challenge, hostCertificate: own)
        guard case .join(let theirJoin) = theirs else { throw ClinicSyncError(.usage, "") }
        join.certificateRequest = theirJoin.certificateRequest
        #expect(self.host.answer(.join(join), to: challenge, thief).refusal == .unknownCode)
        // Another certificate of the same key.
        let twin = try CertificateRequest.selfSigned(attempt.key, at: self.clinic.clock.now)
        let reply = self.host.desk.answer(
            request,
            to: challenge,
            standing: .applicant(attempt.nodeID),
            certificate: twin,
            address: TestDesk.address
        )
        #expect(reply.refusal == .unknownCode)
        // The request was made for a host in between.
        let elsewhere = try attempt.request(to: challenge, hostCertificate: TestAuthority().host.certificates[0])
        #expect(self.host.answer(elsewhere, to: challenge, attempt).refusal == .unknownCode)
        // The unchanged request is valid.
        #expect(self.host.answer(request, to: challenge, attempt).membership != nil)
    }

    @Test("a request that was made just before the host renewed its certificate is good")
    func hostRenews() throws {
        let code = try self.host.invite(uses: 3)
        let attempt = try self.host.attempt(code)
        let challenge = self.host.desk.makeChallenge()
        let request = try attempt.request(to: challenge, hostCertificate: self.clinic.host.certificates[0])
        try self.clinic.host.renewOwn()
        #expect(self.host.answer(request, to: challenge, attempt).membership != nil)
        try self.clinic.host.renewOwn()
        #expect(self.host.answer(request, to: challenge, attempt).refusal == .unknownCode)
    }

    @Test("ten wrong codes lock an address out for fifteen minutes, also from a right one, and no other address")
    func lockOut() throws {
        let code = try self.host.invite(uses: 10)
        let wrong = JoinCode(pin: code.pin, secret: Array(repeating: 7, count: 16), addresses: [])
        for _ in 0..<9 { #expect(try self.host.ask(self.host.attempt(wrong)).refusal == .unknownCode) }
        #expect(try self.host.ask(self.host.attempt(code)).membership != nil)
        #expect(try self.host.ask(self.host.attempt(wrong)).refusal == .unknownCode)
        #expect(try self.host.ask(self.host.attempt(code)).refusal == .lockedOut)
        #expect(try self.host.ask(self.host.attempt(code), from: "192.168.1.21").membership != nil)
        self.clinic.clock.advance(minutes: 14.9)
        #expect(try self.host.ask(self.host.attempt(code)).refusal == .lockedOut)
        self.clinic.clock.advance(minutes: 0.1)
        #expect(try self.host.ask(self.host.attempt(code)).membership != nil)
        // The count begins again.
        for _ in 0..<9 { #expect(try self.host.ask(self.host.attempt(wrong)).refusal == .unknownCode) }
        #expect(try self.host.ask(self.host.attempt(code)).membership != nil)
    }

    @Test("addresses that failed are forgotten, oldest first, when there are too many; locked ones last")
    func lockOutIsBounded() {
        let policy = LockOutPolicy.joinCodes
        var lockOut = LockOut<String>(policy)
        for _ in 0..<policy.failuresMax { lockOut.failed(["locked"], at: .zero) }
        for _ in 1..<policy.failuresMax { lockOut.failed(["first"], at: .zero) }
        for index in 2..<policy.recordsMax { lockOut.failed(["\(index)"], at: .milliseconds(index)) }
        #expect(lockOut.count == policy.recordsMax)
        lockOut.failed(["one more"], at: .seconds(2))
        #expect(lockOut.count == policy.recordsMax)
        // This is the tenth wrong code of the first address, but its earlier codes are forgotten.
        lockOut.failed(["first"], at: .seconds(2))
        #expect(lockOut.remaining(["first"], at: .seconds(2)) == nil)
        #expect(lockOut.remaining(["locked"], at: .seconds(2)) != nil)
    }

    @Test("ten wrong proofs that name a code make it void, from wherever they come")
    func voidCode() throws {
        let code = try self.host.invite(uses: 10)
        for index in 0..<10 {
            let attempt = try self.host.attempt(code)
            let challenge = self.host.desk.makeChallenge()
            let request = try attempt.request(to: challenge, hostCertificate: self.clinic.host.certificates[0])
            guard case .join(var join) = request else { throw ClinicSyncError(.usage, "") }
            join.proof[31] ^= 0x80
            let reply = self.host.answer(.join(join), to: challenge, attempt, from: "10.0.0.\(index)")
            #expect(reply.refusal == .unknownCode)
        }
        #expect(try self.host.ask(self.host.attempt(code)).refusal == .unknownCode)
        // The result is the same after a restart.
        let again = try TestDesk(self.clinic)
        #expect(try again.ask(again.attempt(code)).refusal == .unknownCode)
    }

    // MARK: - Rights and limits

    @Test("only applicants join, and who is out is told so")
    func standings() throws {
        let code = try self.host.invite(uses: 10)
        let attempt = try self.host.attempt(code)
        let challenge = self.host.desk.makeChallenge()
        let request = try attempt.request(to: challenge, hostCertificate: self.clinic.host.certificates[0])
        let credential = PeerCredential(node: attempt.nodeID, signers: [], expiresAt: .max)
        let expected: [(PeerStanding, EnrollmentRefusal)] = [
            (.member(credential), .malformed), (.expired(credential), .malformed), (.refused(.foreign), .malformed),
            (.revoked(credential, notice: []), .revoked), (.applicant(SigningKey().id), .malformed),
        ]
        for (standing, refusal) in expected {
            let reply = self.host.desk.answer(
                request,
                to: challenge,
                standing: standing,
                certificate: attempt.certificate,
                address: TestDesk.address
            )
            #expect(reply.refusal == refusal)
        }
        _ = try self.clinic.host.revoke(attempt.nodeID)
        #expect(self.host.answer(request, to: challenge, attempt).refusal == .revoked)
    }

    @Test("without the right to sign nobody invites or lets in; with a grant both work at once")
    func rights() async throws {
        let directory = try TemporaryDirectory()
        let member = try self.clinic.member(in: directory)
        let desk = try TestDesk(self.clinic, store: member)
        #expect(throws: ClinicSyncError(.refused, "")) { try desk.invite() }
        let stray = try self.host.attempt(self.host.invite())
        #expect(try desk.ask(stray).refusal == .noSigningRight)
        #expect(try await desk.renew(self.clinic.host).refusal == .noSigningRight)

        try member.learn(grant: self.clinic.host.grant(to: member.certificates[0]))
        let code = try desk.invite()
        let attempt = try desk.attempt(code)
        let challenge = desk.desk.makeChallenge()
        let request = try attempt.request(to: challenge, hostCertificate: member.certificates[0])
        let membership = try #require(desk.answer(request, to: challenge, attempt).membership)
        #expect(membership.certificates.count == 2)
        #expect(membership.hostID == member.nodeID)
        let files = try await attempt.check(membership)
        let store = try TestAuthority.store(files, in: TemporaryDirectory(), clock: self.clinic.clock)
        #expect(store.clinicID == self.clinic.host.clinicID)
        #expect(!store.maySign)
    }

    @Test("names have 1 to 64 bytes and no control characters")
    func names() throws {
        let code = try self.host.invite(uses: 100)
        for name in ["a", String(repeating: "a", count: 64), String(repeating: "é", count: 32), "Dr. O'Hara 1"] {
            #expect(try self.host.ask(self.host.attempt(code, name: name)).membership != nil, "\(name)")
        }
        for name in ["", "  ", String(repeating: "a", count: 65), String(repeating: "é", count: 33), "a\nb", "a\u{0}"] {
            #expect(try self.host.ask(self.host.attempt(code, name: name)).refusal == .malformed, "\(name)")
        }
    }

    @Test("codes have a shortest and a longest life, a number of uses, and a number")
    func inviteLimits() throws {
        for (ttl, uses) in [
            (Duration.seconds(0), 1), (.seconds(30 * 86_400 + 1), 1), (.seconds(60), 0), (.seconds(60), 1_001),
        ] {
            #expect(throws: ClinicSyncError(.usage, "")) {
                try self.host.desk.invite(ttl: ttl, uses: uses, addresses: [])
            }
        }
        for _ in 0..<InvitationBook.invitationsMax { _ = try self.host.invite(minutes: 1) }
        #expect(throws: ClinicSyncError(.refused, "")) { try self.host.invite() }
        self.clinic.clock.advance(days: 1, minutes: 1)
        _ = try self.host.invite()
    }

    @Test("a new member is told of the newest revocations, so many that the reply stays within its limit")
    func revocations() throws {
        for _ in 0..<70 { _ = try self.clinic.host.revoke(SigningKey().id) }
        let membership = try #require(try self.host.ask(self.host.attempt(self.host.invite())).membership)
        #expect(membership.revocations.count == EnrollmentDesk.revocationsMax)
        let numbers = try membership.revocations.map {
            try Revocation(verifying: $0, authority: self.clinic.authority).number
        }
        #expect(numbers == Array((7...70).reversed()))
    }
}
