import Testing

@testable import ClinicSync

@Suite struct NodeMetricsTests {
    @Test("metrics have help and type, and tell no names of people or PCs")
    func text() throws {
        let status = NodeStatus(
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
            tables: [],
            peers: [
                .init(
                    id: "n2",
                    name: "Doctor",
                    address: "127.0.0.1:1",
                    role: "host",
                    connected: true,
                    lagBatches: 9,
                    lastSeen: nil,
                    roundTripMilliseconds: 2
                )
            ],
            waiting: [],
            progress: nil
        )
        let lines = NodeMetrics(status: status, eventPosition: 99).text.split(separator: "\n").map(String.init)
        for line in [
            #"clinicsync_role{role="client"} 1"#, #"clinicsync_role{role="host"} 0"#, "clinicsync_term 4",
            "clinicsync_conflicts_open 8", #"clinicsync_peer_lag_batches{peer="n2"} 9"#, "clinicsync_event_position 99",
            #"clinicsync_peer_round_trip_seconds{peer="n2"} 0.002"#, "clinicsync_last_reconciliation_equal 1",
            "clinicsync_last_reconciliation_timestamp_seconds 1.5", "clinicsync_clock_offset_milliseconds -7",
        ] { #expect(lines.contains(line), "\(line)") }
        for line in lines {
            #expect(!line.contains("Reception") && !line.contains("Doctor") && !line.contains("Santos"))
            guard !line.hasPrefix("#") else { continue }
            let name = String(line.prefix { $0 != " " && $0 != "{" })
            #expect(lines.contains { $0.hasPrefix("# TYPE \(name) ") }, "\(name) has no type")
        }
    }
}
