import ClinicSyncCore
import ClinicSyncModel
import NIOConcurrencyHelpers

/// The changing state that several parts of a node read: its name, its address, and the core's newest snapshot.
final class NodeState: Sendable {
    private struct Values {
        var name: String
        var core: CoreStatus?
        var listen: NetworkAddress?
    }

    /// The node's identity when its files were read.
    let identity: NodeIdentity
    /// The node's clocks.
    let clock: NodeClock
    private let values: NIOLockedValueBox<Values>

    /// Makes the state of a node that does not run.
    init(identity: NodeIdentity, clock: NodeClock) {
        self.identity = identity
        self.clock = clock
        self.values = NIOLockedValueBox(Values(name: identity.nodeName))
    }

    /// The node.
    var id: NodeID { self.identity.nodeID }

    /// The current display name of the node.
    var name: String { self.values.withLockedValue { $0.name } }

    /// The newest snapshot of the core; `nil` while the node does not run.
    var core: CoreStatus? { self.values.withLockedValue { $0.core } }

    /// Where the node listens for others; `nil` while the node does not run.
    var listen: NetworkAddress? { self.values.withLockedValue { $0.listen } }

    /// The clinic's time: this PC's time with the host's correction, milliseconds since 1970.
    var correctedMilliseconds: Int64 { self.clock.wallMilliseconds &+ (self.core?.clockOffsetMilliseconds ?? 0) }

    /// The addresses at which other nodes reach this node, the most likely first; empty while the node does not run.
    var addresses: [String] {
        self.listen.map { AdvertisedAddresses.addresses(listening: $0).map(\.description) } ?? []
    }

    /// The host if known, otherwise this node: the first address for a new member.
    var hostOrSelf: (id: NodeID, addresses: [String]) {
        guard let host = self.core?.host, host.id != self.id, let address = host.address else {
            guard let known = self.identity.host else { return (self.id, self.addresses) }
            return (known.nodeID, [known.address])
        }
        return (host.id, [address])
    }

    /// Records a new name.
    func renamed(_ name: String) { self.values.withLockedValue { $0.name = name } }

    /// Records the address on which the node listens.
    func listens(at address: NetworkAddress) { self.values.withLockedValue { $0.listen = address } }

    /// Records a snapshot of the core.
    ///
    /// - Returns: The previous snapshot.
    func noted(_ status: CoreStatus) -> CoreStatus? {
        self.values.withLockedValue { values in
            defer { values.core = status }
            return values.core
        }
    }

    /// Records that the core has stopped.
    ///
    /// People may still request the status for a short time.
    func stopped() { self.values.withLockedValue { $0.core?.role = .stopped } }

    /// Records that the run is over.
    func ended() {
        self.values.withLockedValue { values in
            values.core = nil
            values.listen = nil
        }
    }
}
