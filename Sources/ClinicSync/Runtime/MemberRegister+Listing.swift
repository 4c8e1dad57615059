import ClinicSyncModel
import ClinicSyncStorage

/// The store asks at its opening which members count.
///
/// Only the runtime sees both types.
extension MemberRegister {
    /// Learns what is signed in a listing, and returns the present members with what they say of themselves.
    func members(in listing: MemberListing) -> [MemberListing.Node] {
        for grant in listing.grants { self.learn(grant: grant) }
        for node in listing.nodes {
            self.learn(certificate: node.certificate, of: node.id)
            if !node.statement.isEmpty { self.learn(statement: node.statement, of: node.id) }
        }
        let columns = Dictionary(listing.nodes.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        return self.members.filter { self.isPresent($0) }.map { member in
            // A member with an older program has only the columns, which nobody signed.
            guard member.statement != nil || columns[member.node] == nil else { return columns[member.node] }
            let facts = self.facts(of: member)
            return MemberListing.Node(
                id: member.node,
                name: facts.name,
                certificate: member.proof.certificate,
                statement: member.statement?.bytes ?? [],
                schemaVersion: Int64(facts.schemaVersion),
                aliveAt: facts.aliveAt
            )
        }
        .compactMap { $0 }
    }
}
