import ClinicSyncCore

extension NodeMetrics {
    /// Records the values of a status.
    func record(_ status: NodeStatus, eventPosition: UInt64) {
        self.set(
            .role,
            to: [NodeStatus.Role.host, .client, .searching, .stopped].map { ($0.rawValue, status.role == $0 ? 1 : 0) }
        )
        self.set(.term, to: Double(status.term))
        self.set(.uptime, to: Double(status.node.uptimeSeconds))
        self.set(.connections, to: Double(status.activeConnections))
        self.set(.pendingChanges, to: Double(status.pendingChanges))
        self.set(.clockOffset, to: Double(status.clockOffsetMilliseconds))
        self.set(.lockedFiles, to: Double(status.lockedFiles.count))
        let faults = status.diskFaults.map(\.fault)
        self.set(.diskFault, to: DiskFault.allCases.map { ($0.rawValue, faults.contains($0.rawValue) ? 1 : 0) })
        let verdict = status.verdict?.state
        self.set(.verdict, to: Verdict.State.allCases.map { ($0.rawValue, verdict == $0.rawValue ? 1 : 0) })
        let counts = Dictionary(status.findings.map { ($0.check, 1.0) }, uniquingKeysWith: +)
        self.set(.findings, to: FindingCode.allCases.map { ($0.rawValue, counts[$0.rawValue] ?? 0) })
        self.set(.lapsedNodes, to: Double(status.lapsedNodes.count))
        self.set(.waitingRows, to: Double(status.waiting.reduce(0) { $0 + $1.rows }))
        self.set(.openConflicts, to: Double(status.conflicts.open))
        self.follow(.eventPosition, eventPosition)
        self.follow(.refusedConnections, status.security.refusedConnections)
        self.set(.tableRows, to: status.tables.map { ($0.name, Double($0.rows)) })
        self.set(.peerConnected, to: status.peers.map { ($0.id, $0.connected ? 1 : 0) })
        self.set(.peerJoining, to: status.peers.map { ($0.id, $0.joining ? 1 : 0) })
        self.set(.peerLag, to: status.peers.map { ($0.id, Double($0.lagBatches)) })
        self.set(
            .peerRoundTrip,
            to: status.peers.compactMap { peer in peer.roundTripMilliseconds.map { (peer.id, $0 / 1_000) } }
        )
        self.set(
            .peerBackOff,
            to: status.peers.compactMap { peer in peer.backOff.map { (peer.id, Double($0.retrySeconds)) } }
        )
        self.record(status.progress?.state)
        guard let last = status.lastReconciliation else { return }
        self.set(.reconciledAt, to: Double(last.at.milliseconds) / 1_000)
        self.set(.reconciledEqual, to: ["equal", "repaired"].contains(last.result) ? 1 : 0)
        self.set(.reconciledRows, to: Double(last.repairedRows))
    }

    /// Records how far the state is that this node gets in place of history; without one, these metrics have no value.
    private func record(_ state: StateTransferSummary?) {
        func set(_ metric: NodeMetric, _ value: Int?) {
            self.set(metric, to: value.map { [(nil, Double($0))] } ?? [])
        }
        set(.stateRows, state?.rows)
        set(.stateRowsExpected, state?.rowsTotal)
        set(.stateBytes, state?.bytes)
        set(.stateRate, state?.bytesPerSecond)
        set(.stateTimeLeft, state?.secondsLeft)
        set(.stateFailures, state.map { $0.failure?.failures ?? 0 })
    }
}
