import ClinicSyncModel
import Foundation
import Metrics
import MetricsTestKit
import Testing

@testable import ClinicSync

@Suite struct NodeMetricsTests {
    /// The state that the node of ``status(peers:)`` gets.
    static let state = StateTransferSummary(
        from: "Doctor",
        rows: 30,
        rowsTotal: 40,
        bytes: 3_000,
        bytesPerSecond: 100,
        secondsLeft: 10,
        complete: false
    )

    /// A status of which every metric has a value.
    static func status(peers: [String] = ["n2"]) -> NodeStatus {
        NodeStatus(
            node: .init(id: "n1", name: "Reception", version: "1", schemaVersion: 2, uptimeSeconds: 3),
            clinic: .init(id: "c1", name: "Clinic Santos"),
            role: .client,
            term: 4,
            host: .init(id: "n2", name: "Doctor", address: "127.0.0.1:1"),
            activeConnections: 1,
            security: .init(
                certificateExpires: UTCTimestamp(milliseconds: 0),
                maySign: true,
                refusedConnections: 6,
                revokedNodes: 7
            ),
            pendingChanges: 6,
            clockOffsetMilliseconds: -7,
            lastReconciliation: .init(
                at: UTCTimestamp(milliseconds: 1_500),
                result: "repaired",
                milliseconds: 1,
                repairedRows: 2
            ),
            conflicts: .init(open: 8),
            tables: [.init(TableDigest(name: "patients", rows: 5, digest: .zero))],
            peers: peers.map { id in
                .init(
                    id: id,
                    name: "Doctor",
                    address: "127.0.0.1:1",
                    role: "host",
                    connected: true,
                    lagBatches: 9,
                    lastSeen: nil,
                    roundTripMilliseconds: 2,
                    backOff: .init(
                        reason: "protocolViolation",
                        message: "It sent what makes no sense.",
                        by: "self",
                        failures: 2,
                        lastedSeconds: 9,
                        retrySeconds: 3
                    )
                )
            },
            waiting: [],
            progress: .init(missingBatches: 0, partialBatches: 0, state: self.state)
        )
    }

    @Test("metrics have help and type, and tell no names of people or PCs")
    func text() throws {
        let metrics = NodeMetrics()
        metrics.record(NodeMetricsTests.status(), eventPosition: 99)
        let lines = metrics.text.split(separator: "\n").map(String.init)
        for line in [
            #"clinicsync_role{role="client"} 1"#, #"clinicsync_role{role="host"} 0"#, "clinicsync_term 4",
            "clinicsync_conflicts_open 8", #"clinicsync_peer_lag_batches{peer="n2"} 9"#, "clinicsync_event_position 99",
            #"clinicsync_peer_round_trip_seconds{peer="n2"} 0.002"#, "clinicsync_last_reconciliation_equal 1",
            "clinicsync_last_reconciliation_timestamp_seconds 1.5", "clinicsync_clock_offset_milliseconds -7",
        ] { #expect(lines.contains(line), "\(line)") }
        for line in lines {
            #expect(!line.contains("Reception") && !line.contains("Doctor") && !line.contains("Santos"))
            guard !line.hasPrefix("#") else { continue }
            let name = NodeMetricsTests.name(of: line)
            #expect(lines.contains { $0.hasPrefix("# TYPE \(name) ") }, "\(name) has no type")
        }
    }

    /// The name of the metric that a line is a sample of.
    private static func name(of line: String) -> String {
        let name = String(line.prefix { $0 != " " && $0 != "{" })
        let parts = ["_bucket", "_sum", "_count"].filter { name.hasSuffix($0) }.map { String(name.dropLast($0.count)) }
        return parts.first { name in NodeMetric.allCases.contains { $0.rawValue == name && $0.kind == .histogram } }
            ?? name
    }

    @Test("docs/METRICS.md lists what the code registers")
    func document() throws {
        let metrics = NodeMetrics()
        metrics.record(NodeMetricsTests.status(), eventPosition: 99)
        #expect(metrics.names == NodeMetric.allCases.map(\.rawValue).sorted())
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "docs/METRICS.md"), encoding: .utf8)
        let listed = text.split(separator: "\n").filter { $0.hasPrefix("| `clinicsync_") }.map(String.init)
        let expected = NodeMetric.allCases.map { metric in
            "| `\(metric.rawValue)` | \(metric.kind.rawValue) | \(metric.label.map { "`\($0)`" } ?? "") | \(metric.help) |"
        }
        #expect(listed == expected)
    }

    @Test("names have the prefix, and counters and times say so at their end")
    func names() {
        for metric in NodeMetric.allCases {
            #expect(metric.rawValue.hasPrefix("clinicsync_"))
            if metric.kind == .histogram { #expect(metric.rawValue.hasSuffix("_seconds")) }
            // Older than the rule, and scripts know it.
            if metric.kind == .counter, metric != .eventPosition { #expect(metric.rawValue.hasSuffix("_total")) }
        }
    }

    @Test("times fall into cumulative buckets")
    func histogram() {
        let metrics = NodeMetrics()
        for milliseconds in [1, 2, 40, 7_000, 100_000_000] {
            metrics.observe(.replicationLag, .milliseconds(milliseconds))
        }
        let lines = metrics.text.split(separator: "\n").map(String.init)
        for line in [
            #"clinicsync_replication_lag_seconds_bucket{le="0.001"} 1"#,
            #"clinicsync_replication_lag_seconds_bucket{le="0.0025"} 2"#,
            #"clinicsync_replication_lag_seconds_bucket{le="0.05"} 3"#,
            #"clinicsync_replication_lag_seconds_bucket{le="5"} 3"#,
            #"clinicsync_replication_lag_seconds_bucket{le="10"} 4"#,
            #"clinicsync_replication_lag_seconds_bucket{le="86400"} 4"#,
            #"clinicsync_replication_lag_seconds_bucket{le="+Inf"} 5"#,
            "clinicsync_replication_lag_seconds_count 5", "clinicsync_replication_lag_seconds_sum 100007.043",
            "# TYPE clinicsync_replication_lag_seconds histogram",
        ] { #expect(lines.contains(line), "\(line)") }
    }

    @Test("series of peers that are gone go too, and counters that follow a number never fall")
    func lifetimes() {
        let metrics = NodeMetrics()
        metrics.record(NodeMetricsTests.status(peers: ["n2", "n3"]), eventPosition: 99)
        #expect(metrics.text.contains(#"clinicsync_peer_connected{peer="n3"} 1"#))
        metrics.record(NodeMetricsTests.status(peers: ["n2"]), eventPosition: 90)
        #expect(!metrics.text.contains("n3"))
        #expect(metrics.text.contains("clinicsync_event_position 99"))
        metrics.count(.conflicts, 3)
        #expect(metrics.text.contains("clinicsync_conflicts_recorded_total 3"))
    }

    @Test("each code of a finding has a value, which is the number of findings")
    func findings() {
        let metrics = NodeMetrics()
        var status = NodeMetricsTests.status()
        status.findings = [
            Finding(.rowsSetAside, "3 rows of patients."), Finding(.rowsSetAside, "1 row of payments."),
            Finding(.diskFull, "The disk is full."),
        ]
        metrics.record(status, eventPosition: 99)
        for code in FindingCode.allCases {
            let count = code == .rowsSetAside ? 2 : code == .diskFull ? 1 : 0
            #expect(metrics.text.contains("\nclinicsync_findings{check=\"\(code.rawValue)\"} \(count)\n"))
        }
    }

    @Test("a state that arrives has values, and none of them stays when the state is shown")
    func stateTransfer() {
        let metrics = NodeMetrics()
        var status = NodeMetricsTests.status()
        metrics.record(status, eventPosition: 99)
        for line in [
            "clinicsync_state_transfer_rows 30", "clinicsync_state_transfer_rows_expected 40",
            "clinicsync_state_transfer_bytes 3000", "clinicsync_state_transfer_bytes_per_second 100",
            "clinicsync_state_transfer_left_seconds 10", "clinicsync_state_transfer_failures 0",
        ] { #expect(metrics.text.contains("\n\(line)\n"), "\(line)") }
        status.progress?.state?.secondsLeft = nil
        status.progress?.state?.failure = .init(failures: 2, message: "disk full", retrySeconds: 20)
        metrics.record(status, eventPosition: 99)
        #expect(metrics.text.contains("\nclinicsync_state_transfer_failures 2\n"))
        #expect(!metrics.text.contains("\nclinicsync_state_transfer_left_seconds "))
        status.progress = nil
        metrics.record(status, eventPosition: 99)
        #expect(!metrics.text.contains("\nclinicsync_state_transfer_"))
    }

    @Test("the sentence about a state has rows, bytes, rate and time left, or says why the rows are not shown")
    func stateSentence() {
        var state = NodeMetricsTests.state
        (state.bytes, state.bytesPerSecond) = (12_340_000, 5_000_000)
        #expect(state.sentence == "30 of about 40 rows from Doctor, 12.3 MB at 5.0 MB/s, about 10 s left")
        state.from = nil
        #expect(state.sentence == "30 of about 40 rows, 12.3 MB, waiting for a PC that has the rest")
        (state.rows, state.complete) = (40, true)
        #expect(state.sentence == "all 40 rows have arrived and are shown next")
        state.failure = .init(failures: 2, message: "disk full", retrySeconds: 160)
        #expect(
            state.sentence
                == "all 40 rows have arrived and cannot be shown (2 tries): disk full; this PC tries again in 2 min"
        )
    }

    @Test("labels are escaped as Prometheus wants it")
    func labels() {
        let metrics = NodeMetrics()
        metrics.set(.tableRows, to: [("a\"b\\c\nd", 1)])
        #expect(metrics.text.contains(#"clinicsync_table_rows{table="a\"b\\c\nd"} 1"#))
    }

    @Test("a program's own factory gets the values too")
    func injected() throws {
        let factory = TestMetrics()
        let metrics = NodeMetrics(alsoTo: factory)
        metrics.record(NodeMetricsTests.status(), eventPosition: 99)
        metrics.observe(.applyDuration, .milliseconds(5))
        #expect(try factory.expectMeter("clinicsync_peer_lag_batches", [("peer", "n2")]).lastValue == 9)
        #expect(try factory.expectCounter("clinicsync_event_position").totalValue == 99)
        #expect(try factory.expectTimer("clinicsync_apply_duration_seconds").lastValue == 5_000_000)
        #expect(metrics.text.contains("clinicsync_apply_duration_seconds_count 1"))
    }
}
