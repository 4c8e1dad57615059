import ClinicSyncModel
import OrderedCollections

extension NodeStateMachine {
    /// Returns a snapshot for people.
    ///
    /// Cheap enough for every second; changes nothing.
    package func status(at now: Now) -> CoreStatus {
        CoreStatus(
            role: self.role,
            term: CoreLimits.staticTerm,
            host: self.host,
            peers: self.directory.all.map { self.describe($0) },
            pendingChanges: self.pendingChanges,
            missingBatches: self.missingBatches,
            partialBatches: self.ledger.partials.count { $0.batch.origin != self.configuration.origin },
            clockOffsetMilliseconds: self.offsetMilliseconds,
            lastReconciliation: self.lastReconciliation,
            vector: self.ledger.vector
        )
    }

    /// Own batches that the host has not acknowledged.
    private var pendingChanges: UInt64 {
        let own = self.ledger.vector[self.configuration.origin]
        guard !self.isHost, own > self.acknowledgedByHost else { return 0 }
        return own - self.acknowledgedByHost
    }

    /// Batches that somebody has and this node has not applied.
    private var missingBatches: UInt64 {
        var known = VersionVector()
        for peer in self.directory.all { known.merge(peer.acknowledged) }
        return known.count(beyond: self.ledger.vector)
    }

    private var role: CoreStatus.Role {
        switch self.phase {
        case .created, .stopping, .stopped: .stopped
        case .starting, .running:
            if self.isHost { .host } else { self.hostConnection == nil ? .searching : .client }
        }
    }

    private var host: CoreStatus.Host {
        switch self.configuration.hostPolicy {
        case .local:
            CoreStatus.Host(
                id: self.configuration.origin.node,
                name: self.configuration.nodeName,
                address: self.configuration.listenAddress
            )
        case .remote(let id, let addresses):
            CoreStatus.Host(
                id: id,
                name: self.directory[id]?.identity.name,
                address: self.directory[id]?.identity.address ?? addresses.first
            )
        }
    }

    private func describe(_ peer: KnownPeer) -> CoreStatus.Peer {
        CoreStatus.Peer(
            id: peer.identity.node,
            name: peer.identity.name,
            address: peer.identity.address,
            role: peer.identity.isHost ? .host : .client,
            isConnected: peer.connection != nil,
            lagBatches: self.ledger.vector.count(beyond: peer.acknowledged),
            lastSeen: peer.lastSeen,
            roundTripMilliseconds: peer.roundTrip.map { $0 / .milliseconds(1) }
        )
    }
}
