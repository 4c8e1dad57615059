import ClinicSyncCore
import ClinicSyncDiscovery
import ClinicSyncModel
import Logging
import NIOConcurrencyHelpers

/// Runs discovery for a node: announces the node, and gives the core the addresses of found nodes.
final class DiscoveryAgent: Sendable {
    private let discovery: any Discovery
    private let advertisement: NIOLockedValueBox<Advertisement?>
    private let isRequired: Bool
    private let logger: Logger
    private let found: @Sendable ([PeerHint]) -> Void
    private let changed: @Sendable (_ fault: String?) -> Void

    /// Makes an agent, which does nothing before ``run()``.
    ///
    /// - Parameters:
    ///   - discovery: the implementation.
    ///   - advertisement: the advertisement to announce now; `nil` when the node is not announced.
    ///   - isRequired: whether an administrator requires discovery.
    ///   - logger: logs whether discovery works.
    ///   - changed: called when discovery begins or ceases to work, with the reason; must not block.
    ///   - found: called with addresses; must not block.
    init(
        _ discovery: any Discovery,
        advertisement: Advertisement?,
        isRequired: Bool,
        logger: Logger,
        changed: @escaping @Sendable (_ fault: String?) -> Void = { _ in },
        found: @escaping @Sendable ([PeerHint]) -> Void
    ) {
        self.discovery = discovery
        self.advertisement = NIOLockedValueBox(advertisement)
        self.isRequired = isRequired
        self.logger = logger
        self.changed = changed
        self.found = found
    }

    /// Announces another term or role; from any thread.
    func advertise(term: UInt64, isHost: Bool) {
        let changed: Advertisement? = self.advertisement.withLockedValue { advertisement in
            guard advertisement?.term != term || advertisement?.isHost != isHost else { return nil }
            advertisement?.term = term
            advertisement?.isHost = isHost
            return advertisement
        }
        if let changed { self.discovery.update(changed) }
    }

    /// Announces and searches until cancelled.
    func run() async throws {
        try await self.discovery.run { self.noted($0) }
    }

    private func noted(_ event: DiscoveryEvent) {
        switch event {
        case .found(let peer):
            self.logger.debug(
                "A node was found on the LAN",
                metadata: [
                    "peer.id": "\(peer.node)", "peer.address": "\(peer.addresses.joined(separator: " "))",
                    "election.term": "\(peer.term)",
                ]
            )
            self.found(peer.addresses.map { PeerHint(address: $0, node: peer.node, source: .discovered) })
        case .lost(let node):
            // This line reports only the announcement. The heartbeat determines whether a node is alive.
            self.logger.debug("A node is announced on the LAN no more", metadata: ["peer.id": "\(node)"])
        case .available:
            self.changed(nil)
            self.logger.info("Nodes are looked for on the LAN")
        case .unavailable(let reason):
            self.changed(reason)
            self.logger.log(
                level: self.isRequired ? .warning : .notice,
                "Nodes cannot be looked for on the LAN; known and configured addresses are used",
                metadata: ["error.message": "\(reason)"]
            )
        case .renamed(let name):
            self.logger.warning(
                "Another PC on the LAN announces itself as this node; was its disk copied?",
                metadata: ["discovery.name": "\(name)"]
            )
        }
    }
}
