/// What `GET /metrics` tells Prometheus: numbers and node ids, no names of people or PCs.
///
/// Format: Prometheus text exposition format 0.0.4.
package struct NodeMetrics: Sendable, Hashable {
    private let status: NodeStatus
    private let eventPosition: UInt64

    /// Describes a node.
    package init(status: NodeStatus, eventPosition: UInt64) {
        self.status = status
        self.eventPosition = eventPosition
    }

    /// The content type of ``text``.
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private enum Kind: String {
        case gauge
        case counter
    }

    /// All metrics, each with its help and type.
    package var text: String {
        let status = self.status
        var lines: [String] = []
        func add(_ name: String, _ kind: Kind, _ help: String, _ values: [(labels: String, value: String)]) {
            lines.append("# HELP clinicsync_\(name) \(help)")
            lines.append("# TYPE clinicsync_\(name) \(kind.rawValue)")
            lines += values.map { "clinicsync_\(name)\($0.labels) \($0.value)" }
        }
        func one(_ name: String, _ kind: Kind, _ help: String, _ value: some CustomStringConvertible) {
            add(name, kind, help, [("", "\(value)")])
        }
        add("role", .gauge, "The node's part in the clinic: 1 for the one it has.", self.roles)
        one("term", .gauge, "The term of the host.", status.term)
        one("uptime_seconds", .gauge, "Seconds since the node started.", status.node.uptimeSeconds)
        one("connections", .gauge, "Connections with other nodes.", status.activeConnections)
        one("pending_changes", .gauge, "Local changes the host has not acknowledged.", status.pendingChanges)
        one("clock_offset_milliseconds", .gauge, "What is added to the PC's clock.", status.clockOffsetMilliseconds)
        one("waiting_rows", .gauge, "Rows set aside.", status.waiting.reduce(0) { $0 + $1.rows })
        one("conflicts_open", .gauge, "Conflicts nobody dealt with.", status.conflicts.open)
        one("event_position", .counter, "The position of the newest event.", self.eventPosition)
        one("refused_connections_total", .counter, "Connections of strangers.", status.security.refusedConnections)
        add("table_rows", .gauge, "Rows of a replicated table.", status.tables.map(NodeMetrics.rows))
        add("peer_connected", .gauge, "Whether a peer is connected.", self.peers { $0.connected ? "1" : "0" })
        add("peer_lag_batches", .gauge, "Batches a peer has not applied yet.", self.peers { "\($0.lagBatches)" })
        add(
            "peer_round_trip_seconds",
            .gauge,
            "The round trip of the last ping.",
            self.peers { $0.roundTripMilliseconds.map { "\($0 / 1_000)" } }
        )
        if let last = status.lastReconciliation {
            let seconds = Double(last.at.milliseconds) / 1_000
            one("last_reconciliation_timestamp_seconds", .gauge, "When it ended, by the PC's clock.", seconds)
            let isEqual = ["equal", "repaired"].contains(last.result)
            one("last_reconciliation_equal", .gauge, "Whether it proved the tables equal.", isEqual ? 1 : 0)
            one("last_reconciliation_repaired_rows", .gauge, "Rows it repaired.", last.repairedRows)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private var roles: [(labels: String, value: String)] {
        [NodeStatus.Role.host, .client, .searching, .stopped].map {
            ("{role=\"\($0.rawValue)\"}", self.status.role == $0 ? "1" : "0")
        }
    }

    private static func rows(_ table: DigestSummary.Table) -> (labels: String, value: String) {
        ("{table=\"\(table.name)\"}", "\(table.rows)")
    }

    /// One value for each peer that has one.
    private func peers(_ value: (NodeStatus.Peer) -> String?) -> [(labels: String, value: String)] {
        self.status.peers.compactMap { peer in value(peer).map { ("{peer=\"\(peer.id)\"}", $0) } }
    }
}
