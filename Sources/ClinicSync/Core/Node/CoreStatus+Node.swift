import ClinicSyncModel

extension NodeStateMachine {
    /// Returns a snapshot for people.
    ///
    /// Its cost grows with the peers and with the authors; it changes nothing.
    package func status(at now: Now) -> CoreStatus { CoreStatus(of: self, at: now) }

    /// Returns what this node is to its clinic; the cost is the same for every number of peers.
    package func standing(at now: Now) -> CoreStanding { CoreStanding(of: self, at: now) }
}

extension CoreStanding {
    /// Describes a node at a time.
    init(of node: NodeStateMachine, at now: Now) {
        self.init(
            role: CoreStatus.role(of: node),
            term: node.election.reign?.term ?? node.election.highestTerm,
            host: CoreStatus.host(of: node),
            clockOffsetMilliseconds: node.clock.offsetMilliseconds,
            stateTransfer: CoreStatus.stateTransfer(of: node, at: now.monotonic),
            hasDamagedFile: node.data.damage.contains { $0.repair.table == .file && $0.repair.outcome == .failed }
        )
    }
}

extension CoreStatus {
    /// Describes a node at a time.
    init(of node: NodeStateMachine, at now: Now) {
        let standing = CoreStanding(of: node, at: now)
        let known = node.peers.directory.all
        let vector = node.data.vector
        var elsewhere = vector
        for peer in known { elsewhere.merge(peer.acknowledged) }
        let pending = node.isHost ? 0 : node.data.pendingChanges
        var last = node.data.reconciliation.last
        let clinicMilliseconds = node.clock.milliseconds(at: now.wallMilliseconds)
        let storeLock = node.data.access.lock(at: now.monotonic, clinicMilliseconds)
        let diskFaults = node.data.access.diskFaults(at: now.monotonic, clinicMilliseconds)
        let isBlocked = storeLock != nil || diskFaults.contains { $0.kind != .slow }
        if isBlocked { last?.result = .unreachable }
        self.init(
            role: standing.role,
            term: standing.term,
            host: standing.host,
            peers: known.map { CoreStatus.describe($0, of: node) },
            pendingChanges: isBlocked ? max(pending, 1) : pending,
            missingBatches: elsewhere.count(beyond: vector),
            partialBatches: node.data.partialsOfOthers,
            clockOffsetMilliseconds: standing.clockOffsetMilliseconds,
            lastReconciliation: last,
            vector: vector,
            stateTransfer: standing.stateTransfer,
            troubles: Troubles(
                duplicates: node.peers.duplicates(at: now.monotonic),
                damage: node.data.damage,
                backOffs: node.peers.backOffs(at: now.monotonic),
                storeLock: storeLock,
                diskFaults: diskFaults,
                lockedPeers: CoreStatus.lockedPeers(of: node),
                failedTriggers: node.data.failedTriggers,
                dials: node.peers.dials(
                    at: Now(monotonic: now.monotonic, wallMilliseconds: clinicMilliseconds)
                ),
                members: MemberReport.all(of: node, at: now),
                isPendingLate: CoreStatus.isPendingLate(of: node)
            )
        )
    }

    /// Whether the host lacks batches of this node that are not only on their way.
    private static func isPendingLate(of node: NodeStateMachine) -> Bool {
        guard !node.isHost else { return false }
        let (own, pending) = (node.configuration.origin, node.data.pendingChanges)
        let (written, settled) = (node.data.vector[own], node.peers.directory.settled[own])
        return pending > 0 && written < Bounds.sequenceMax && settled &+ pending > written
    }

    fileprivate static func stateTransfer(of node: NodeStateMachine, at time: Duration) -> StateTransfer? {
        node.data.stateTransfer(at: time).map { progress, from in
            StateTransfer(
                from: from,
                rows: progress.rows,
                rowsTotal: progress.rowsTotal,
                bytes: progress.bytes,
                bytesPerSecond: progress.bytesPerSecond,
                timeLeft: progress.timeLeft,
                isWhole: progress.isWhole,
                failure: progress.failure.map { failure in
                    StateTransfer.Failure(
                        count: failure.count,
                        reason: failure.last.reason,
                        retryIn: max(.zero, failure.retryAt - time)
                    )
                }
            )
        }
    }

    private static func lockedPeers(of node: NodeStateMachine) -> [HostReport.LockedPeer] {
        let linked = node.peers.lockedPeers
        let told = node.hostConnection.flatMap { node.peers.link($0)?.report.lockedPeers } ?? []
        let known = [node.configuration.origin.node] + linked.map(\.node)
        return linked + told.filter { !known.contains($0.node) }
    }

    fileprivate static func role(of node: NodeStateMachine) -> Role {
        switch node.phase {
        case .created, .stopping, .stopped: .stopped
        case .starting, .running:
            if node.isHost { .host } else { node.hostConnection == nil ? .searching : .client }
        }
    }

    fileprivate static func host(of node: NodeStateMachine) -> Host? {
        guard let id = node.election.reign?.host else { return nil }
        if node.isHost {
            return Host(id: id, name: node.configuration.nodeName, address: node.peers.addresses.first)
        }
        let identity = node.peers.known(id)?.identity
        return Host(id: id, name: identity?.name, address: identity?.addresses.first)
    }

    private static func role(of peer: KnownPeer, in node: NodeStateMachine) -> Role {
        if peer.identity.node == node.election.reign?.host { return .host }
        guard let link = peer.connection.flatMap({ node.peers.link($0) }) else { return .stopped }
        return switch link.report.role {
        case .searching: .searching
        case .client: .client
        case .host: .host
        }
    }

    private static func describe(_ peer: KnownPeer, of node: NodeStateMachine) -> Peer {
        Peer(
            id: peer.identity.node,
            name: peer.identity.name,
            address: peer.identity.addresses.first ?? "",
            role: self.role(of: peer, in: node),
            isConnected: peer.connection != nil,
            lagBatches: node.data.vector.count(beyond: peer.acknowledged),
            isJoining: peer.isJoining(the: node.data.vector),
            lastSeen: peer.lastSeen,
            roundTripMilliseconds: peer.roundTrip.map { $0 / .milliseconds(1) }
        )
    }
}
