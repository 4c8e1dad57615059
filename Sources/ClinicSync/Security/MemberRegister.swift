package import ClinicSyncModel
import Foundation
import NIOConcurrencyHelpers
package import NIOSSL

/// The members of the clinic as signatures prove them, kept in the identity directory.
///
/// Any program can write the replicated tables, and a hostile member can write what it likes. So nothing counts here that
/// neither the authority, nor a node with the right to sign, nor the node concerned has signed. What is known once stays
/// known, whatever is deleted from any database.
///
/// Methods that read hold a lock only briefly, so they may run on an event loop; so may ``learn(chain:)``, which verifies
/// one signature. ``save()`` writes a file, so it may block.
package final class MemberRegister: Sendable {
    /// What is known of a member.
    package struct Member: Sendable, Hashable {
        /// Why the node is or was a member.
        package var proof: MemberProof
        /// What the node says of itself; `nil` while only an older program of it has run.
        package var statement: NodeStatement?
        /// A name that a node with the right to sign gave.
        package var renaming: NameStatement?
        /// The node's right to sign.
        package var grant: SigningGrant?

        /// The member.
        package var node: NodeID { self.proof.node }
    }

    /// What came of something that claims to be signed.
    package enum Finding: Sendable, Hashable {
        /// It is signed and changes nothing.
        case known
        /// It is signed, and something changed.
        case new
        /// Nobody who may sign it signed it.
        case invalid
    }

    private struct State: Sendable {
        var members: [NodeID: Member] = [:]
        var grants: [NodeID: SigningGrant] = [:]
        var isSaved = true
        /// Facts in rows of members that have not signed a statement yet.
        var unsigned: [NodeID: NodeStatement.Facts] = [:]
        var forged = ForgedProofs()
    }

    /// The largest number of nodes that are kept, present and past.
    ///
    /// Only nodes with the right to sign can make so many.
    package static let membersMax = 2_048

    private let trust: TrustStore
    private let state = NIOLockedValueBox(State())
    private let writing = NIOLock()

    /// Reads the known members from the directory of the node, and adds the node itself.
    ///
    /// The file repeats what the replicated tables have. So a file that is damaged or missing costs only the memory of rows
    /// that somebody deleted meanwhile.
    package init(trust: TrustStore) {
        self.trust = trust
        for record in MemberFile.read(from: trust.directory) { self.learn(record) }
        self.state.withLockedValue { $0.isSaved = true }
        self.learn(chain: trust.certificates)
        self.learnOwnGrant()
    }

    // MARK: - Reading

    /// Everything that is known, in the order of ids.
    package var members: [Member] {
        self.state.withLockedValue { Array($0.members.values) }.sorted { $0.node < $1.node }
    }

    /// Returns what is known of a node; `nil` when nothing proves that it is or was a member.
    package func member(_ node: NodeID) -> Member? { self.state.withLockedValue { $0.members[node] } }

    /// Returns whether the node is a member now: neither it nor the signer of its certificate is revoked.
    package func isPresent(_ member: Member) -> Bool {
        switch self.trust.review(member.proof.credential) {
        case .member, .expired: true
        case .revoked, .applicant, .refused: false
        }
    }

    /// The nodes that are and were members.
    ///
    /// A node that somebody with the right to sign revoked was a member, even if its certificate is unknown here.
    package var known: KnownMembers {
        let members = self.members
        let revoked = self.trust.knownRevocations.map(\.node).filter { self.trust.isRevoked($0) }
        let days = members.compactMap { member in member.statement.map { (member.node, $0.facts.aliveAt) } }
        return KnownMembers(
            present: members.filter { self.isPresent($0) }.map(\.node) + [self.trust.nodeID],
            past: members.map(\.node) + revoked,
            days: Dictionary(days, uniquingKeysWith: { first, _ in first })
        )
    }

    /// Returns whether another member has run in the last 30 days, by what it signed, so that it has the clinic's rows.
    ///
    /// A member that was thrown away and never revoked has them no more.
    package func hasLiveMember(besides node: NodeID, at wallMilliseconds: Int64) -> Bool {
        self.members.contains { member in
            guard member.node != node, self.isPresent(member), let statement = member.statement else { return false }
            return statement.facts.aliveAt > wallMilliseconds - MemberRegister.liveMilliseconds
        }
    }

    private static let liveMilliseconds: Int64 = 30 * 86_400_000

    /// Returns whether a member may sign certificates.
    package func maySign(_ node: NodeID) -> Bool {
        if node == self.trust.nodeID { return self.trust.maySign }
        return !self.trust.isRevoked(node) && self.grant(of: node) != nil
    }

    /// Returns the grant of a node's right to sign.
    package func grant(of node: NodeID) -> SigningGrant? { self.state.withLockedValue { $0.grants[node] } }

    /// Returns what a member says of itself, with the name that counts.
    ///
    /// A member whose program is older than these statements has only the columns of its row, which nobody signed.
    package func facts(of member: Member) -> NodeStatement.Facts {
        let unsigned = self.state.withLockedValue { $0.unsigned[member.node] }
        var facts =
            member.statement?.facts ?? unsigned
            ?? NodeStatement.Facts(name: "", addresses: [], softwareVersion: "", schemaVersion: 0, aliveAt: 0)
        if let name = self.renaming(of: member)?.name { facts.name = name }
        return facts
    }

    /// Returns the names that people see, by member.
    ///
    /// Members that are present compete for a name. Former members have their last name without any addition.
    ///
    /// - Parameter greeted: names that nodes said on their connections, for members whose statement has not come yet.
    /// - Returns: The names.
    package func names(greeted: [NodeID: String] = [:]) -> [NodeID: String] {
        let members = self.members
        let own = Dictionary(
            members.map { member in
                let name = self.facts(of: member).name
                return (member.node, name.isEmpty ? greeted[member.node] ?? "" : name)
            },
            uniquingKeysWith: { first, _ in first }
        )
        let names = own.filter { node, _ in self.member(node).map { self.isPresent($0) } ?? false }
        let former = own.filter { names[$0.key] == nil }
        return MemberNames.shown(names).merging(former) { shown, _ in shown }
    }

    /// Returns the name that another node gave to a member, while it counts.
    package func renaming(of member: Member) -> NameStatement? {
        guard let renaming = member.renaming, renaming.number >= member.statement?.number ?? 0,
            renaming.signer.map({ !self.trust.isRevoked($0) }) ?? true
        else { return nil }
        return renaming
    }

    // MARK: - Learning

    /// Learns a member from the certificates of a connection, the member's own first.
    @discardableResult
    package func learn(chain: [[UInt8]]) -> Finding {
        guard let leaf = chain.first else { return .invalid }
        for certificate in chain.dropFirst() { self.learn(grant: certificate) }
        return self.learn(certificate: leaf)
    }

    /// Learns a member from the certificates of a TLS handshake that ``TrustStore/judge(_:)`` accepted.
    @discardableResult
    package func learn(handshake chain: [NIOSSLCertificate]) throws -> Finding {
        self.learn(chain: try chain.map { try $0.toDERBytes() })
    }

    /// Learns a right to sign.
    ///
    /// - Parameters:
    ///   - bytes: the grant in DER.
    ///   - node: the node to which it must belong; `nil`: any.
    /// - Returns: Whether the right is valid, and new.
    @discardableResult
    package func learn(grant bytes: [UInt8], of node: NodeID? = nil) -> Finding {
        if let node, self.grant(of: node)?.bytes == bytes { return .known }
        return self.verifying(.grant, bytes, of: node) {
            let grant = try SigningGrant(verifying: bytes, authority: self.trust.authority)
            guard node == nil || grant.node == node else { return nil }
            return self.state.withLockedValue { state in
                guard state.grants[grant.node] == nil, state.grants.count < MemberRegister.membersMax else {
                    return .known
                }
                state.grants[grant.node] = grant
                state.members[grant.node]?.grant = grant
                state.isSaved = false
                // Its certificates prove something from now on.
                state.forged.removeAll()
                return .new
            }
        }
    }

    /// Learns a member from its certificate, in DER.
    ///
    /// - Parameters:
    ///   - certificate: the certificate.
    ///   - node: the node to which it must belong; `nil`: any.
    /// - Returns: Whether the certificate is valid, and new.
    @discardableResult
    package func learn(certificate: [UInt8], of node: NodeID? = nil) -> Finding {
        if let node, self.member(node)?.proof.certificate == certificate { return .known }
        return self.verifying(.certificate, certificate, of: node) {
            let grants = self.state.withLockedValue { Array($0.grants.values) }
            let proof = try MemberProof(verifying: certificate, grants: grants, authority: self.trust.authority)
            guard node == nil || proof.node == node else { return nil }
            return self.add(proof)
        }
    }

    private func add(_ proof: MemberProof) -> Finding {
        let known = self.member(proof.node)
        if let known {
            let fresh = Member(proof: proof)
            let (isPresent, wasPresent) = (self.isPresent(fresh), self.isPresent(known))
            let isBetter = isPresent == wasPresent ? proof.expiresAt > known.proof.expiresAt : isPresent
            guard isBetter else { return .known }
        }
        return self.state.withLockedValue { state in
            guard state.members[proof.node] != nil || state.members.count < MemberRegister.membersMax else {
                return .invalid
            }
            state.members[proof.node, default: Member(proof: proof, grant: state.grants[proof.node])].proof = proof
            state.isSaved = false
            return .new
        }
    }

    /// Learns what a member says of itself.
    @discardableResult
    package func learn(statement bytes: [UInt8], of node: NodeID) -> Finding {
        guard let member = self.member(node) else { return .invalid }
        if member.statement?.bytes == bytes { return .known }
        return self.verifying(.statement, bytes, of: node) {
            let statement = try NodeStatement(verifying: bytes, clinic: self.trust.clinicID)
            guard statement.node == node else { return nil }
            return self.change(node) { member in
                guard member.statement.map({ statement.succeeds($0) }) ?? true else { return false }
                member.statement = statement
                return true
            }
        }
    }

    /// Learns a name that a node with the right to sign gave to a member.
    @discardableResult
    package func learn(renaming bytes: [UInt8], of node: NodeID) -> Finding {
        guard let member = self.member(node) else { return .invalid }
        if member.renaming?.bytes == bytes { return .known }
        return self.verifying(.renaming, bytes, of: node) {
            let renaming = try NameStatement(verifying: bytes, authority: self.trust.authority)
            guard renaming.node == node else { return nil }
            guard renaming.signer.map({ !self.trust.isRevoked($0) }) ?? true else { return .invalid }
            return self.change(node) { member in
                guard member.renaming.map({ renaming.succeeds($0) }) ?? true else { return false }
                member.renaming = renaming
                return true
            }
        }
    }

    /// Returns whether somebody who may revoke a node signed the entry.
    package func accepts(revocation entry: [UInt8], of node: NodeID) -> Bool {
        self.verifying(.revocation, entry, of: node) {
            self.trust.accepts(revocation: entry, of: node) ? .known : nil
        } == .known
    }

    /// Learns what `body` verifies, unless it was forged the last time.
    ///
    /// - Parameters:
    ///   - kind: the kind of the proof.
    ///   - bytes: the proof.
    ///   - node: the node to which it must belong.
    ///   - body: verifies and learns; throws or returns `nil` for what is not valid as long as no new grant comes.
    /// - Returns: What came of it.
    private func verifying(
        _ kind: ForgedProofs.Kind,
        _ bytes: [UInt8],
        of node: NodeID?,
        _ body: () throws -> Finding?
    ) -> Finding {
        let proof = ForgedProofs.Proof(kind: kind, node: node, bytes: bytes)
        let (isForged, grants) = self.state.withLockedValue { ($0.forged.contains(proof), $0.grants.count) }
        guard !isForged else { return .invalid }
        do {
            if let finding = try body() { return finding }
        } catch {
            // Nobody signed it.
        }
        self.state.withLockedValue { if $0.grants.count == grants { $0.forged.insert(proof) } }
        return .invalid
    }

    /// Notes what the rows of members say that have not signed a statement yet.
    ///
    /// - Parameters:
    ///   - facts: the rows' contents by member.
    ///   - isWhole: whether there are no other such rows.
    package func note(unsigned facts: [NodeID: NodeStatement.Facts], isWhole: Bool) {
        self.state.withLockedValue { state in
            if isWhole { state.unsigned = [:] }
            for (node, facts) in facts where state.members[node].map({ $0.statement == nil }) ?? false {
                state.unsigned[node] = facts
            }
        }
    }

    private func change(_ node: NodeID, _ body: (inout Member) -> Bool) -> Finding {
        self.state.withLockedValue { state in
            guard var member = state.members[node], body(&member) else { return .known }
            state.members[node] = member
            state.isSaved = false
            return .new
        }
    }

    private func learn(_ record: MemberFile.Record) {
        if let grant = record.signer { self.learn(grant: grant) }
        if let grant = record.grant { self.learn(grant: grant) }
        let certificate = record.certificate
        guard self.learn(certificate: certificate) != .invalid,
            let node = self.state.withLockedValue({ state in
                state.members.values.first { $0.proof.certificate == certificate }?.node
            })
        else { return }
        if let statement = record.statement { self.learn(statement: statement, of: node) }
        if let renaming = record.renaming { self.learn(renaming: renaming, of: node) }
    }

    // MARK: - Signing

    /// Signs what this node says of itself, unless the last statement says the same.
    ///
    /// - Returns: The statement that counts now.
    /// - Throws: ``ClinicSyncError`` of code `refused` when the name is no name; the cryptographic library's error.
    package func state(_ facts: NodeStatement.Facts) throws -> NodeStatement {
        let node = self.trust.nodeID
        let member = self.member(node)
        let facts = facts.fitting(node)
        let isRenamed = member.flatMap { self.renaming(of: $0) } != nil
        if let last = member?.statement, last.facts == facts, !isRenamed { return last }
        let statement = try NodeStatement(
            facts,
            number: self.nextNumber(after: member),
            clinic: self.trust.clinicID,
            key: self.trust.key
        )
        self.learn(statement: statement.bytes, of: node)
        return statement
    }

    /// Signs a name for another node.
    ///
    /// - Returns: The statement, which the caller writes into the node's row.
    /// - Throws: ``ClinicSyncError`` of code `refused` without the right to sign, or for a node that is no member.
    package func rename(_ node: NodeID, to name: String) throws -> NameStatement {
        guard let issuer = self.trust.issuer else {
            throw ClinicSyncError(
                .refused,
                "This PC has no right to sign names of others: rename the node on its own PC, or on one that may sign."
            )
        }
        guard let member = self.member(node) else {
            throw ClinicSyncError(
                .refused,
                "This node has not proved that it is a member: wait until it has connected."
            )
        }
        let statement = try NameStatement(
            name,
            for: node,
            number: self.nextNumber(after: member),
            authority: self.trust.authority,
            issuer: issuer
        )
        self.learn(renaming: statement.bytes, of: node)
        return statement
    }

    /// A number that is larger than those of all known statements about the node, as long as there is one.
    private func nextNumber(after member: Member?) -> UInt64 {
        let largest = max(member?.statement?.number ?? 0, member?.renaming?.number ?? 0)
        return min(largest, Revocation.numberMax - 1) + 1
    }

    /// Makes this node's own right to sign visible for others.
    ///
    /// The node that holds the authority's key grants itself the right, so that all rights are proved in one way.
    private func learnOwnGrant() {
        let node = self.trust.nodeID
        if let grant = self.trust.ownGrant {
            self.learn(grant: grant.bytes, of: node)
        } else if self.trust.holdsAuthority, self.grant(of: node) == nil {
            do { self.learn(grant: try self.trust.grant(to: self.trust.ownCertificate), of: node) } catch {
                // A revoked node has no right that others could see.
            }
        }
    }

    // MARK: - Saving

    /// Writes what was learned since the last call.
    ///
    /// - Throws: ``ClinicSyncError`` of code `diskFull`, `permission` or `storage`.
    package func save() throws {
        try self.writing.withLock {
            guard !self.state.withLockedValue({ $0.isSaved }) else { return }
            let members = self.state.withLockedValue { state in
                state.isSaved = true
                return Array(state.members.values)
            }
            do {
                try MemberFile.write(members.sorted { $0.node < $1.node }, to: self.trust.directory)
            } catch {
                self.state.withLockedValue { $0.isSaved = false }
                throw error
            }
        }
    }
}
