import ClinicSyncCore
import ClinicSyncModel
import NIOConcurrencyHelpers

/// The changing state that several parts of a node read: its name, its address, and what it is to its clinic.
final class NodeState: Sendable {
    private struct Values {
        var name: String
        var standing: CoreStanding?
        var greeted: [NodeID: String] = [:]
        var listen: NetworkAddress?
        var discoveryFault: String?
        var captureRepairs: [String: Int64] = [:]
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

    /// What the node is to its clinic since the driver's last turn; `nil` while the node does not run.
    ///
    /// ``Inbox/status()`` returns more.
    var standing: CoreStanding? { self.values.withLockedValue { $0.standing } }

    /// Whether this node is host.
    var isHost: Bool { self.standing?.role == .host }

    /// The names that members said on their connections in this run.
    var greeted: [NodeID: String] { self.values.withLockedValue { $0.greeted } }

    /// Where the node listens for others; `nil` while the node does not run.
    var listen: NetworkAddress? { self.values.withLockedValue { $0.listen } }

    /// The clinic's time: this PC's time with the host's correction, milliseconds since 1970.
    var correctedMilliseconds: Int64 { self.clock.wallMilliseconds &+ (self.standing?.clockOffsetMilliseconds ?? 0) }

    /// The addresses at which other nodes reach this node, the most likely first; empty while the node does not run.
    var addresses: [String] {
        self.listen.map { AdvertisedAddresses.addresses(listening: $0).map(\.description) } ?? []
    }

    /// The host if known, otherwise this node: the first address for a new member.
    var hostOrSelf: (id: NodeID, addresses: [String]) {
        guard let host = self.standing?.host, host.id != self.id, let address = host.address else {
            guard let known = self.identity.host else { return (self.id, self.addresses) }
            return (known.nodeID, [known.address])
        }
        return (host.id, [address])
    }

    /// Records a new name.
    func renamed(_ name: String) { self.values.withLockedValue { $0.name = name } }

    /// Records the address on which the node listens.
    func listens(at address: NetworkAddress) { self.values.withLockedValue { $0.listen = address } }

    /// Records what the node is to its clinic.
    ///
    /// - Returns: What it was before.
    func noted(_ standing: CoreStanding) -> CoreStanding? {
        self.values.withLockedValue { values in
            defer { values.standing = standing }
            return values.standing
        }
    }

    /// Records the name that a member said on its connection.
    func greeted(_ node: NodeID, as name: String) { self.values.withLockedValue { $0.greeted[node] = name } }

    /// Why nodes cannot be looked for on the LAN; `nil` when they can, or are not looked for.
    var discoveryFault: String? { self.values.withLockedValue { $0.discoveryFault } }

    /// Records whether nodes can be looked for on the LAN.
    func discoveryChanged(_ fault: String?) { self.values.withLockedValue { $0.discoveryFault = fault } }

    /// When the triggers of tables were missing last, milliseconds since 1970; since the node started.
    var captureRepairs: [String: Int64] { self.values.withLockedValue { $0.captureRepairs } }

    /// Records that the triggers of tables were missing and are back.
    func captureRepaired(_ tables: [String]) {
        let now = self.clock.wallMilliseconds
        self.values.withLockedValue { values in for table in tables { values.captureRepairs[table] = now } }
    }

    /// Records that the core has stopped.
    ///
    /// People may still request the status for a short time.
    func stopped() { self.values.withLockedValue { $0.standing?.role = .stopped } }

    /// Records that the run is over.
    func ended() {
        self.values.withLockedValue { values in
            values.standing = nil
            values.greeted = [:]
            values.listen = nil
            values.discoveryFault = nil
        }
    }
}
