import ClinicSyncModel
import Foundation
import Testing

@testable import ClinicSync

@Suite("Revocations and grants")
struct RevocationTests {
    private let clinic: TestAuthority

    init() throws { self.clinic = try TestAuthority() }

    @Test("a revocation by the authority says what it was made with")
    func byAuthority() throws {
        let node = SigningKey().id
        let vouched = (0..<3).map { _ in SigningKey().id }
        let bytes = try self.clinic.host.revoke(node, vouching: vouched + [node])
        let revocation = try Revocation(verifying: bytes, authority: self.clinic.authority)
        #expect(revocation.clinic == self.clinic.host.clinicID)
        #expect(revocation.node == node)
        #expect(revocation.number == 1)
        #expect(revocation.revokedAt == TestWallClock.start)
        #expect(revocation.vouched == vouched.sorted())
        #expect(revocation.signer == nil)
    }

    @Test("numbers ascend; a node that is out is not revoked again; nobody revokes itself")
    func numbers() throws {
        let nodes = (0..<3).map { _ in SigningKey().id }
        for (index, node) in nodes.enumerated() {
            let bytes = try self.clinic.host.revoke(node)
            let revocation = try Revocation(verifying: bytes, authority: self.clinic.authority)
            #expect(revocation.number == UInt64(index + 1))
            #expect(try self.clinic.host.revoke(node) == bytes)
        }
        #expect(Set(self.clinic.host.revocations.keys) == Set(nodes))
        #expect(throws: ClinicSyncError(.refused, "")) { try self.clinic.host.revoke(self.clinic.host.nodeID) }
    }

    @Test("a number at the limit, by whoever may sign, keeps nobody from revoking; one beyond it is refused")
    func largestNumber() throws {
        let issuer = try self.clinic.host.requireIssuer()
        func revocation(_ number: UInt64, at time: Int64) throws -> Revocation {
            try Revocation(
                of: SigningKey().id,
                number: number,
                at: time,
                vouching: [],
                authority: self.clinic.authority,
                issuer: issuer
            )
        }
        let now = TestWallClock.start
        #expect(try self.clinic.host.learn(revocation: revocation(Revocation.numberMax, at: now).bytes))
        let next = try self.clinic.host.revoke(SigningKey().id)
        #expect(try Revocation(verifying: next, authority: self.clinic.authority).number == Revocation.numberMax)
        for number in [Revocation.numberMax + 1, .max] {
            #expect(throws: ClinicSyncError(.refused, "")) { try revocation(number, at: now) }
        }
        for time in [-1, Revocation.millisecondsMax + 1] {
            #expect(throws: ClinicSyncError(.refused, "")) { try revocation(1, at: time) }
        }
    }

    @Test("a grantee revokes too; without the right, and once it is out itself, it does not")
    func byGrantee() throws {
        let directories = try [TemporaryDirectory(), TemporaryDirectory()]
        let member = try self.clinic.member(in: directories[0])
        #expect(throws: ClinicSyncError(.refused, "")) { try member.revoke(SigningKey().id) }
        let grantee = try self.clinic.grantee(in: directories[1])
        #expect(grantee.maySign)
        #expect(!grantee.holdsAuthority)
        let bytes = try grantee.revoke(member.nodeID)
        #expect(try Revocation(verifying: bytes, authority: self.clinic.authority).signer == grantee.nodeID)
        #expect(try self.clinic.host.learn(revocation: bytes))
        #expect(self.clinic.host.isRevoked(member.nodeID))

        #expect(try grantee.learn(revocation: self.clinic.host.revoke(grantee.nodeID)))
        #expect(grantee.ownRevocation != nil)
        #expect(!grantee.maySign)
        #expect(throws: ClinicSyncError(.refused, "")) { try grantee.revoke(SigningKey().id) }
        #expect(throws: ClinicSyncError(.refused, "")) { try grantee.renewOwn() }
    }

    @Test("any changed, lost or added byte of a revocation is refused", arguments: [false, true])
    func flippedRevocation(isSignedByGrantee: Bool) throws {
        let directory = try TemporaryDirectory()
        let signer = isSignedByGrantee ? try self.clinic.grantee(in: directory) : self.clinic.host
        let good = try signer.revoke(SigningKey().id, vouching: [SigningKey().id, SigningKey().id])
        _ = try Revocation(verifying: good, authority: self.clinic.authority)
        for index in good.indices {
            var bad = good
            bad[index] ^= 1 << UInt8(index % 8)
            #expect(throws: ClinicSyncError.self) { try Revocation(verifying: bad, authority: self.clinic.authority) }
            #expect(try !self.clinic.host.learn(revocation: bad))
            #expect(throws: ClinicSyncError.self) {
                try Revocation(verifying: Array(good[..<index]), authority: self.clinic.authority)
            }
        }
        #expect(throws: ClinicSyncError.self) {
            try Revocation(verifying: good + [0], authority: self.clinic.authority)
        }
    }

    @Test("any changed or lost byte of a grant is refused")
    func flippedGrant() throws {
        let directory = try TemporaryDirectory()
        let member = try self.clinic.member(in: directory)
        let good = try self.clinic.host.grant(to: member.certificates[0])
        for index in good.indices {
            var bad = good
            bad[index] ^= 1 << UInt8(index % 8)
            #expect(throws: ClinicSyncError.self) { try SigningGrant(verifying: bad, authority: self.clinic.authority) }
            #expect(try !member.learn(grant: bad))
            #expect(throws: ClinicSyncError.self) {
                try SigningGrant(verifying: Array(good[..<index]), authority: self.clinic.authority)
            }
        }
        #expect(!member.maySign)
        #expect(try member.learn(grant: good))
        #expect(try !member.learn(grant: good))
        #expect(member.maySign)
    }

    @Test("another clinic's revocations and grants prove nothing, and another node's grant gives no right")
    func foreign() throws {
        let directories = try [TemporaryDirectory(), TemporaryDirectory()]
        let other = try TestAuthority()
        let node = SigningKey().id
        #expect(try !self.clinic.host.learn(revocation: other.host.revoke(node)))
        #expect(!self.clinic.host.isRevoked(node))
        let member = try self.clinic.member(in: directories[0])
        #expect(try !member.learn(grant: other.host.grant(to: member.certificates[0])))
        let another = try self.clinic.member(in: directories[1])
        #expect(try !another.learn(grant: self.clinic.host.grant(to: member.certificates[0])))
        #expect(!another.maySign)
        // A node's certificate is not a grant. The authority's certificate is not a grant either.
        #expect(try !member.learn(grant: member.certificates[0]))
        #expect(try !member.learn(grant: self.clinic.authority.der))
    }

    @Test("a revocation vouches for as many members as a clinic may have, and not for one more")
    func vouchedLimit() throws {
        let nodes = (1...UInt64(Revocation.vouchedMax)).map { NodeID(high: $0, low: 1) }
        let bytes = try self.clinic.host.revoke(NodeID(high: 0, low: 1), vouching: nodes)
        #expect(bytes.count <= Revocation.bytesMax)
        let revocation = try Revocation(verifying: bytes, authority: self.clinic.authority)
        #expect(revocation.vouched.count == Revocation.vouchedMax)
        #expect(throws: ClinicSyncError(.usage, "")) {
            try self.clinic.host.revoke(NodeID(high: 0, low: 2), vouching: nodes + [NodeID(high: 0, low: 3)])
        }
        let long = bytes + [UInt8](repeating: 0, count: Revocation.bytesMax)
        #expect(throws: ClinicSyncError.self) { try Revocation(verifying: long, authority: self.clinic.authority) }
    }

    @Test("of two statements on one node everybody keeps the same, whichever came first")
    func twoStatements() throws {
        let directories = try (0..<3).map { _ in try TemporaryDirectory() }
        let grantee = try self.clinic.grantee(in: directories[0])
        let node = SigningKey().id
        let statements = try [self.clinic.host.revoke(node), grantee.revoke(node)]
        let first = try self.clinic.member(in: directories[1])
        let second = try self.clinic.member(in: directories[2])
        for bytes in statements { try first.learn(revocation: bytes) }
        for bytes in statements.reversed() { try second.learn(revocation: bytes) }
        #expect(first.revocations == second.revocations)
        #expect(first.revocations.count == 1)
    }

    @Test("who has lost the right puts nobody out whom the authority vouched for, nor keeps anybody in")
    func lateStatements() throws {
        let directories = try (0..<4).map { _ in try TemporaryDirectory() }
        let thief = try self.clinic.grantee(in: directories[0])
        let second = try self.clinic.grantee(in: directories[1])
        let vouched = try self.clinic.member(in: directories[2])
        let unvouched = SigningKey().id
        let end = try self.clinic.host.revoke(thief.nodeID, vouching: [vouched.nodeID, second.nodeID])
        // The stolen PC has not received the revocation.
        let statements = try [thief.revoke(vouched.nodeID), thief.revoke(unvouched), thief.revoke(second.nodeID)]
        for store in [self.clinic.host, second] {
            try store.learn(revocation: end)
            for bytes in statements { try store.learn(revocation: bytes) }
            #expect(!store.isRevoked(vouched.nodeID))
            #expect(store.isRevoked(unvouched))
            #expect(store.maySign)
        }
        // Nodes with the signing right can still revoke the nodes that it named.
        let good = try second.revoke(vouched.nodeID)
        #expect(second.isRevoked(vouched.nodeID))
        #expect(try self.clinic.host.learn(revocation: good))
        #expect(self.clinic.host.isRevoked(vouched.nodeID))
        #expect(try !self.clinic.host.learn(revocation: statements[0]))
        #expect(self.clinic.host.isRevoked(vouched.nodeID))
        // A node that learns of all revocations in another order has the same result.
        let late = try self.clinic.member(in: directories[3])
        for bytes in statements + [good, end] + [good] { try late.learn(revocation: bytes) }
        #expect(late.isRevoked(vouched.nodeID))
        #expect(!late.isRevoked(second.nodeID))
    }

    @Test("the right to sign is given only by the authority's holder, to a node's key, and not to who is out")
    func granting() throws {
        let directories = try [TemporaryDirectory(), TemporaryDirectory()]
        let grantee = try self.clinic.grantee(in: directories[0])
        let member = try self.clinic.member(in: directories[1])
        #expect(throws: ClinicSyncError(.refused, "")) { try grantee.grant(to: member.certificates[0]) }
        #expect(throws: ClinicSyncError(.refused, "")) { try self.clinic.host.grant(to: self.clinic.authority.der) }
        #expect(throws: ClinicSyncError(.refused, "")) { try self.clinic.host.grant(to: [1, 2, 3]) }
        _ = try self.clinic.host.revoke(member.nodeID)
        #expect(throws: ClinicSyncError(.refused, "")) { try self.clinic.host.grant(to: member.certificates[0]) }
    }
}
