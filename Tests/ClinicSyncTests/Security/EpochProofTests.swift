import ClinicSyncModel
import Foundation
import Testing

@testable import ClinicSync

@Suite("Epochs that the clinic signed")
struct EpochProofTests {
    private let clinic: TestAuthority

    init() throws { self.clinic = try TestAuthority() }

    private func refusal(_ verdict: TrustStore.EpochVerdict) -> String? {
        if case .refused(let reason) = verdict { reason } else { nil }
    }

    @Test("who may sign makes an epoch greater than all known ones; others follow it, also after a restart")
    func follows() throws {
        let directories = try [TemporaryDirectory(), TemporaryDirectory()]
        let member = try self.clinic.member(in: directories[0])
        let grantee = try self.clinic.grantee(in: directories[1])
        #expect(throws: ClinicSyncError(.refused, "")) { try member.makeEpoch(exceeding: nil, batches: 1) }
        let first = try self.clinic.host.makeEpoch(exceeding: nil, batches: 5)
        #expect(first.number == 1 && first.node == self.clinic.host.nodeID && first.batches == 5)
        #expect(first.decidedAt == TestWallClock.start)
        // Making it is not following it: the data decides.
        #expect(self.clinic.host.epoch == nil)
        try self.clinic.host.keep(first)
        #expect(self.clinic.host.epoch == first)
        #expect(try member.learn(epoch: first.statement) == .new(first))
        #expect(try member.learn(epoch: first.statement) == .known)
        let second = try grantee.makeEpoch(exceeding: first, batches: 0)
        #expect(second.number == 2)
        #expect(try member.learn(epoch: second.statement) == .new(second))
        #expect(try member.learn(epoch: first.statement) == .known)
        let again = try TrustStore.load(directory: NodeDirectory(url: directories[0].url)) { TestWallClock.start }
        #expect(again.epoch == second)
    }

    @Test("any changed, lost or added byte is refused in words, and so is another clinic's epoch")
    func forged() throws {
        let directory = try TemporaryDirectory()
        let member = try self.clinic.member(in: directory)
        let good = try self.clinic.host.makeEpoch(exceeding: nil, batches: 5).statement
        let foreign = try TestAuthority().host.makeEpoch(exceeding: nil, batches: 5).statement
        var forgeries = [foreign, [], good + [0], Array(good.dropLast())]
        for index in stride(from: 0, to: good.count, by: 7) {
            var bytes = good
            bytes[index] ^= 1
            forgeries.append(bytes)
        }
        for bytes in forgeries { #expect(self.refusal(try member.learn(epoch: bytes))?.contains("signed") == true) }
        #expect(member.epoch == nil)
        let forged = try #require(Epoch(statement: Array(good.dropLast()) + [good[good.count - 1] ^ 1]))
        #expect(member.verified(forged) == nil)
        try member.keep(forged)
        #expect(member.epoch == nil)
    }

    @Test("nobody follows a PC that was removed from the clinic")
    func revoked() throws {
        let directories = try [TemporaryDirectory(), TemporaryDirectory()]
        let member = try self.clinic.member(in: directories[0])
        let thief = try self.clinic.grantee(in: directories[1])
        let epoch = try thief.makeEpoch(exceeding: nil, batches: 0)
        #expect(try member.learn(revocation: self.clinic.host.revoke(thief.nodeID)))
        #expect(self.refusal(try member.learn(epoch: epoch.statement))?.contains("removed") == true)
        #expect(member.epoch == nil)
        // Whoever has followed it already follows the next one of the clinic.
        let next = try self.clinic.host.makeEpoch(exceeding: epoch, batches: 0)
        #expect(Optional(next).exceeds(epoch))
        #expect(try member.learn(epoch: next.statement) == .new(next))
    }

    @Test("one epoch cannot use up all numbers")
    func largeNumber() throws {
        let directory = try TemporaryDirectory()
        let member = try self.clinic.member(in: directory)
        let issuer = try self.clinic.host.requireIssuer()
        for number in [Epoch.stepMax + 1, Epoch.numberMax] {
            let proof = try EpochProof(
                number: number,
                batches: 0,
                node: self.clinic.host.nodeID,
                at: 0,
                authority: self.clinic.authority,
                issuer: issuer
            )
            #expect(self.refusal(try member.learn(epoch: proof.epoch.statement))?.contains("too large") == true)
        }
        #expect(member.epoch == nil)
    }
}
