import ClinicSyncCore
import ClinicSyncModel
import NIOConcurrencyHelpers

/// Gives the core the addresses that the list of members holds.
final class MemberHints: Sendable {
    /// Addresses given at most; any program can write the list.
    static let hintsMax = 1_024

    private let own: NodeID
    private let ownAddresses: @Sendable () -> [String]
    private let isRevoked: @Sendable (NodeID) -> Bool
    private let found: @Sendable ([PeerHint]) -> Void
    private let given = NIOLockedValueBox<[PeerHint]>([])

    /// Makes what has given nothing yet.
    ///
    /// - Parameters:
    ///   - own: this node, whose row is left out.
    ///   - ownAddresses: where this node listens now. A lease goes from one PC to the next, and the row of the one that had
    ///     an address before must not send this node to itself.
    ///   - isRevoked: whether a node was sent away.
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

    /// Takes note of the list as it is now.
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
