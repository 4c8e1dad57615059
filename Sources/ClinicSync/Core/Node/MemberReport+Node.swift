import ClinicSyncModel
import OrderedCollections

extension MemberReport {
    /// Describes what a node knows of the other members.
    ///
    /// - Parameters:
    ///   - node: The node.
    ///   - now: The time.
    /// - Returns: The members ascending, then connected nodes whose membership is not recorded yet; at most
    ///   ``CoreLimits/reportedMembersMax``.
    static func all(of node: NodeStateMachine, at now: Now) -> [MemberReport] {
        let own = node.configuration.origin.node
        let clinicNow = Now(
            monotonic: now.monotonic,
            wallMilliseconds: node.clock.milliseconds(at: now.wallMilliseconds)
        )
        let present = node.peers.members.present.filter { $0 != own }
        let unrecorded = node.peers.directory.all.filter { $0.connection != nil }.map(\.identity.node)
            .filter { !present.contains($0) }
        let tries = MemberReport.tries(of: node, at: clinicNow)
        return (present + unrecorded).prefix(CoreLimits.reportedMembersMax).map { member in
            var report = MemberReport(node: member)
            report.lastTry = tries[member]
            guard let peer = node.peers.known(member) else { return report }
            report.describe(peer, of: node, at: clinicNow)
            return report
        }
    }

    private mutating func describe(_ peer: KnownPeer, of node: NodeStateMachine, at clinicNow: Now) {
        self.isConnected = peer.connection != nil
        if self.isConnected { self.lastTry = nil }
        self.isJoining = peer.isJoining(the: node.data.vector)
        self.lastSeen = Bounds.milliseconds(clamping: clinicNow.wallMilliseconds(at: peer.lastSeen.monotonic))
        self.lagBatches = node.data.vector.count(beyond: peer.acknowledged)
        self.isLate = node.peers.directory.settled.count(beyond: peer.acknowledged) > 0
        let reconciliation = node.data.reconciliation
        let comparison: PeerComparison? =
            if node.isHost {
                peer.connection.flatMap { reconciliation.comparison(of: $0) }
            } else if peer.connection != nil, peer.connection == node.hostConnection {
                reconciliation.comparisonWithHost
            } else {
                nil
            }
        // Two rounds may fail before their silence says something.
        let limit = node.configuration.reconcileInterval * 3 + CoreLimits.comparisonSlack
        self.comparison = comparison?.report(at: clinicNow.monotonic, within: limit)
    }

    /// The newest dial of each member that did not lead to it.
    private static func tries(of node: NodeStateMachine, at clinicNow: Now) -> OrderedDictionary<NodeID, Try> {
        let failed = node.peers.dials(at: clinicNow).filter { $0.answer != .linked }
            .sorted { $0.atMilliseconds < $1.atMilliseconds }
        return OrderedDictionary(
            failed.compactMap { dial in
                dial.node.map { ($0, Try(address: dial.address, answer: dial.answer.words)) }
            },
            uniquingKeysWith: { $1 }
        )
    }
}

extension SyncReport {
    /// Makes the host's answer to question `id` about the members.
    init(aboutMembersOf node: NodeStateMachine, id: UInt64) {
        let members = MemberReport.all(of: node, at: node.turn.time)
        self.init(id: id, result: .equal, repairedRows: 0, nodes: [], members: members)
    }
}

extension KnownPeer {
    /// Whether the peer has joined and has nothing of the other nodes, as far as it has said; `vector`: what this node has.
    func isJoining(the vector: VersionVector) -> Bool {
        !self.acknowledged.hasOthers(than: self.identity.node) && vector.hasOthers(than: self.identity.node)
    }
}
