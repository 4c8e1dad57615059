package import Metrics
import NIOConcurrencyHelpers

/// A metric of the node.
///
/// Its raw value is its name, and ``help`` describes it. `docs/METRICS.md` lists all of them.
package enum NodeMetric: String, Sendable, Hashable, CaseIterable {
    case role = "clinicsync_role"
    case term = "clinicsync_term"
    case uptime = "clinicsync_uptime_seconds"
    case connections = "clinicsync_connections"
    case pendingChanges = "clinicsync_pending_changes"
    case clockOffset = "clinicsync_clock_offset_milliseconds"
    case waitingRows = "clinicsync_waiting_rows"
    case openConflicts = "clinicsync_conflicts_open"
    case eventPosition = "clinicsync_event_position"
    case refusedConnections = "clinicsync_refused_connections_total"
    case tableRows = "clinicsync_table_rows"
    case peerConnected = "clinicsync_peer_connected"
    case peerJoining = "clinicsync_peer_joining"
    case peerLag = "clinicsync_peer_lag_batches"
    case peerRoundTrip = "clinicsync_peer_round_trip_seconds"
    case reconciledAt = "clinicsync_last_reconciliation_timestamp_seconds"
    case reconciledEqual = "clinicsync_last_reconciliation_equal"
    case reconciledRows = "clinicsync_last_reconciliation_repaired_rows"
    case stateRows = "clinicsync_state_transfer_rows"
    case stateRowsExpected = "clinicsync_state_transfer_rows_expected"
    case stateBytes = "clinicsync_state_transfer_bytes"
    case stateRate = "clinicsync_state_transfer_bytes_per_second"
    case stateTimeLeft = "clinicsync_state_transfer_left_seconds"
    case stateFailures = "clinicsync_state_transfer_failures"
    case replicationLag = "clinicsync_replication_lag_seconds"
    case appliedChanges = "clinicsync_replication_changes_applied_total"
    case applyDuration = "clinicsync_apply_duration_seconds"
    case roundTrip = "clinicsync_round_trip_seconds"
    case reconciliationDuration = "clinicsync_reconciliation_duration_seconds"
    case repairedRows = "clinicsync_reconciliation_repaired_rows_total"
    case peerBackOff = "clinicsync_peer_back_off_seconds"
    case peersTurnedAway = "clinicsync_peers_turned_away_total"
    case peersLost = "clinicsync_peers_lost_total"
    case hostChanges = "clinicsync_host_changes_total"
    case conflicts = "clinicsync_conflicts_recorded_total"
    case storageFailures = "clinicsync_storage_failures_total"
    case ownDamage = "clinicsync_own_damage_total"
    case lockedFiles = "clinicsync_locked_files"
    case lapsedNodes = "clinicsync_lapsed_nodes"
    case storeLocks = "clinicsync_store_locks_total"
    case failedTriggers = "clinicsync_failed_triggers_total"
    case diskFault = "clinicsync_disk_fault"
    case findings = "clinicsync_findings"
    case verdict = "clinicsync_verdict"

    /// What kind of metric it is.
    package enum Kind: String, Sendable, Hashable {
        /// A current value.
        case gauge
        /// A number that only increases.
        case counter
        /// Counts of durations below each of several bounds.
        case histogram
    }

    /// What kind of metric it is.
    package var kind: Kind {
        switch self {
        case .role, .term, .uptime, .connections, .pendingChanges, .clockOffset, .waitingRows, .openConflicts,
            .tableRows, .lockedFiles, .lapsedNodes, .diskFault, .findings, .verdict, .peerConnected, .peerJoining,
            .peerLag,
            .peerRoundTrip, .peerBackOff, .reconciledAt, .reconciledEqual, .reconciledRows, .stateRows,
            .stateRowsExpected, .stateBytes, .stateRate, .stateTimeLeft, .stateFailures:
            .gauge
        case .eventPosition, .refusedConnections, .appliedChanges, .repairedRows, .peersTurnedAway, .peersLost,
            .hostChanges, .conflicts, .storageFailures, .ownDamage, .storeLocks, .failedTriggers:
            .counter
        case .replicationLag, .applyDuration, .roundTrip, .reconciliationDuration: .histogram
        }
    }

    /// The name of the metric's only label; `nil` when it has none.
    ///
    /// Values are roles, states, tables, faults, codes of findings or ids of nodes, so their number is small.
    package var label: String? {
        switch self {
        case .role: "role"
        case .tableRows: "table"
        case .diskFault: "fault"
        case .findings: "check"
        case .verdict: "state"
        case .peerConnected, .peerJoining, .peerLag, .peerRoundTrip, .peerBackOff: "peer"
        default: nil
        }
    }

    /// One sentence for people.
    package var help: String {
        switch self {
        case .role: "The node's part in the clinic: 1 for the one it has."
        case .term: "The term of the host."
        case .uptime: "Seconds since the node started."
        case .connections: "Connections with other nodes."
        case .pendingChanges: "Local changes that the host has not acknowledged."
        case .clockOffset: "Milliseconds that are added to the PC's clock."
        case .waitingRows: "Rows that are set aside."
        case .openConflicts: "Conflicts that nobody has settled."
        case .eventPosition: "The position of the newest event."
        case .refusedConnections: "Connections of strangers that were refused."
        case .tableRows: "Rows of a replicated table."
        case .peerConnected: "1 when the peer is connected, else 0."
        case .peerJoining: "1 when the peer has joined and has nothing of the other PCs yet, else 0."
        case .peerLag: "Batches that the peer has not applied yet."
        case .peerRoundTrip: "The round trip of the newest ping. A host measures a client every 5 s."
        case .reconciledAt: "When the newest reconciliation ended, by the PC's clock."
        case .reconciledEqual: "1 when the newest reconciliation proved the tables equal, else 0."
        case .reconciledRows: "Rows that the newest reconciliation repaired."
        case .stateRows: "Rows that have arrived of the state that this node gets in place of history."
        case .stateRowsExpected: "Rows that this state has, as its sender said."
        case .stateBytes: "Bytes that have arrived of this state."
        case .stateRate: "Bytes of this state that arrive in a second; 0 when nothing can be said yet."
        case .stateTimeLeft: "Seconds until the rest of this state has arrived, at that rate."
        case .stateFailures: "Failures in a row to show this state although all of it has arrived."
        case .replicationLag: "Time from a change on another node until it was committed here, by the clinic's time."
        case .appliedChanges: "Rows that changes of other nodes changed here."
        case .applyDuration: "Time that the store took to apply received batches."
        case .roundTrip: "Round trips with connected peers, one sample for each peer every ten seconds."
        case .reconciliationDuration: "Time that a reconciliation took."
        case .repairedRows: "Rows that reconciliations repaired."
        case .peerBackOff: "Seconds until a peer whose connections end in failure may try again."
        case .peersTurnedAway: "Connections of peers that were refused because the peer must wait."
        case .peersLost: "Connections with peers that ended."
        case .hostChanges: "Changes of the host."
        case .conflicts: "Values that lost to concurrent ones."
        case .storageFailures: "Requests that the store could not carry out."
        case .ownDamage: "Damaged entries found in the node's own bookkeeping, as far as they were reported."
        case .lockedFiles: "PCs whose file another program keeps locked, as far as this node knows."
        case .lapsedNodes: "Members that were silent for 30 days, so that nothing waits for them."
        case .storeLocks: "How often another program kept this node from writing for three seconds."
        case .diskFault: "1 while the disk under clinic.db has the fault, else 0."
        case .findings: "Findings with the code, as `clinic-node status` shows them."
        case .verdict: "1 for the state of the verdict about the clinic, else 0."
        case .failedTriggers: "Rows of other nodes for which a program's trigger failed."
        }
    }
}

/// The metrics of one node, for `GET /metrics` and for the program's own backend.
///
/// The metrics are made once, with an injected factory. The library never touches `MetricsSystem`, which belongs to the
/// program.
package struct NodeMetrics: Sendable {
    private struct Key: Hashable {
        var metric: NodeMetric
        var label: String?
    }

    private struct State {
        var gauges: [Key: Meter] = [:]
        /// The last seen value of each counter that mirrors another part's count.
        var seen: [NodeMetric: UInt64] = [:]
    }

    /// Whether another backend receives the values.
    ///
    /// Such a backend does not request them.
    package let isForwarded: Bool
    /// The changed rows of each table, for the log.
    package let tableCounts = TableCounts()
    private let registry: PrometheusRegistry
    private let factory: any MetricsFactory
    private let counters: [NodeMetric: Counter]
    private let timers: [NodeMetric: Metrics.Timer]
    private let state = NIOLockedValueBox(State())

    /// Makes the metrics of a node; `other` also receives all values.
    package init(alsoTo other: (any MetricsFactory)? = nil) {
        let registry = PrometheusRegistry(
            help: Dictionary(uniqueKeysWithValues: NodeMetric.allCases.map { ($0.rawValue, $0.help) })
        )
        let factory: any MetricsFactory = other.map { MultiplexMetricsHandler(factories: [registry, $0]) } ?? registry
        func handles<Handle>(_ kind: NodeMetric.Kind, _ make: (String) -> Handle) -> [NodeMetric: Handle] {
            let metrics = NodeMetric.allCases.filter { $0.kind == kind }
            return Dictionary(uniqueKeysWithValues: metrics.map { ($0, make($0.rawValue)) })
        }
        self.isForwarded = other != nil
        self.registry = registry
        self.factory = factory
        self.counters = handles(.counter) { Counter(label: $0, factory: factory) }
        self.timers = handles(.histogram) { Metrics.Timer(label: $0, factory: factory) }
    }

    /// All values in Prometheus' text format.
    package var text: String { self.registry.text }

    /// The names of the metrics that have a value, ascending.
    package var names: [String] { self.registry.names }

    /// Sets a gauge.
    package func set(_ metric: NodeMetric, to value: Double) { self.set(metric, to: [(nil, value)]) }

    /// Sets a gauge for each value of its label, and removes values that are not listed.
    package func set(_ metric: NodeMetric, to values: [(label: String?, value: Double)]) {
        self.state.withLockedValue { state in
            let kept = Set(values.map(\.label))
            for (key, gauge) in state.gauges where key.metric == metric && !kept.contains(key.label) {
                gauge.destroy()
                state.gauges[key] = nil
            }
            for (label, value) in values {
                let key = Key(metric: metric, label: label)
                let gauge = state.gauges[key] ?? self.makeGauge(key)
                gauge.set(value)
                state.gauges[key] = gauge
            }
        }
    }

    private func makeGauge(_ key: Key) -> Meter {
        let dimensions = key.metric.label.flatMap { name in key.label.map { [(name, $0)] } } ?? []
        return Meter(label: key.metric.rawValue, dimensions: dimensions, factory: self.factory)
    }

    /// Adds to a counter.
    package func count(_ metric: NodeMetric, _ amount: Int = 1) {
        self.counters[metric]?.increment(by: amount)
    }

    /// Increases a counter to the count that another part maintains.
    package func follow(_ metric: NodeMetric, _ total: UInt64) {
        let before = self.state.withLockedValue { $0.seen.updateValue(total, forKey: metric) } ?? 0
        if total > before { self.count(metric, Int(clamping: total - before)) }
    }

    /// Adds a time to a histogram.
    package func observe(_ metric: NodeMetric, _ duration: Duration) {
        let nanoseconds = Int64(exactly: (duration / .nanoseconds(1)).rounded())
        self.timers[metric]?.recordNanoseconds(max(0, nanoseconds ?? .max))
    }
}
