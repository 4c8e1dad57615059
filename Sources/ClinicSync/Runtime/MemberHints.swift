import ClinicSyncCore
import ClinicSyncModel
import NIOConcurrencyHelpers

/// Gives the core the addresses in the list of members.
final class MemberHints: Sendable {
    /// The largest number of addresses.
    ///
    /// A limit is necessary, because any program can write the list.
    static let hintsMax = 1_024

    private let own: NodeID
    private let ownAddresses: @Sendable () -> [String]
    private let isRevoked: @Sendable (NodeID) -> Bool
    private let found: @Sendable ([PeerHint]) -> Void
    private let given = NIOLockedValueBox<[PeerHint]>([])

    /// Makes a source of hints that has given no addresses yet.
    ///
    /// - Parameters:
    ///   - own: this node, whose row is skipped.
    ///   - ownAddresses: where this node listens now. A lease moves from one PC to another. So the row of the previous
    ///     owner of an address must not make this node dial itself.
    ///   - isRevoked: whether a node is revoked.
    ///   - found: called with all addresses when they have changed; must not block.
    init(
        own: NodeID,
        ownAddresses: @escaping @Sendable () -> [String],
        isRevoked: @escaping @Sendable (NodeID) -> Bool,
        found: @escaping @Sendable ([PeerHint]) -> Void
    ) {
        self.own = own
        self.ownAddresses = ownAddresses
        self.isRevoked = isRevoked
        self.found = found
    }

    /// Records the current list.
    func read(_ rows: [AgentTables.Node]) {
        let ownAddresses = Set(self.ownAddresses())
        let hints = rows.filter { $0.id != self.own && !self.isRevoked($0.id) }
            .sorted { $0.id < $1.id }
            .flatMap { row in
                row.addresses.filter { !ownAddresses.contains($0) }.map {
                    PeerHint(address: $0, node: row.id, source: .remembered)
                }
            }
            .prefix(MemberHints.hintsMax)
        let isNew = self.given.withLockedValue { given in
            defer { given = Array(hints) }
            return given != Array(hints)
        }
        if isNew, !hints.isEmpty { self.found(Array(hints)) }
    }
}
