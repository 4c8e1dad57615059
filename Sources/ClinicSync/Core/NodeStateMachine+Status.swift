import ClinicSyncModel
import OrderedCollections

extension NodeStateMachine {
    /// Returns a snapshot for people.
    ///
    /// Cheap enough for every second; changes nothing.
    package func status(at now: Now) -> CoreStatus {
        CoreStatus(
            role: self.role,
            term: self.election.reign?.term ?? self.election.highestTerm,
            host: self.host,
            peers: self.directory.all.map { self.describe($0) },
            pendingChanges: self.pendingChanges,
            missingBatches: self.missingBatches,
            partialBatches: self.ledger.partials.count { $0.batch.origin != self.configuration.origin },
            clockOffsetMilliseconds: self.offsetMilliseconds,
            lastReconciliation: self.lastReconciliation,
            vector: self.ledger.vector,
            duplicates: self.duplicates(at: now)
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

    private var host: CoreStatus.Host? {
        guard let id = self.election.reign?.host else { return nil }
        if self.isHost {
            return CoreStatus.Host(id: id, name: self.configuration.nodeName, address: self.addresses.first)
        }
        let identity = self.directory[id]?.identity
        return CoreStatus.Host(id: id, name: identity?.name, address: identity?.addresses.first)
    }

    private func role(of peer: KnownPeer) -> CoreStatus.Role {
        if peer.identity.node == self.election.reign?.host { return .host }
        guard let link = peer.connection.flatMap({ self.links[$0] }) else { return .stopped }
        return switch link.report.role {
        case .searching: .searching
        case .client: .client
        case .host: .host
        }
    }

    private func describe(_ peer: KnownPeer) -> CoreStatus.Peer {
        CoreStatus.Peer(
            id: peer.identity.node,
            name: peer.identity.name,
            address: peer.identity.addresses.first ?? "",
            role: self.role(of: peer),
            isConnected: peer.connection != nil,
            lagBatches: self.ledger.vector.count(beyond: peer.acknowledged),
            lastSeen: peer.lastSeen,
            roundTripMilliseconds: peer.roundTrip.map { $0 / .milliseconds(1) }
        )
    }
}
