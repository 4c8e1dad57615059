import Foundation
import Testing

/// Runs the benchmarks on few rows.
///
/// The form of the output counts, not the figures.
@Suite(.timeLimit(.minutes(3))) struct BenchTests {
    private static let keys: Set = [
        "name", "unit", "value", "baseline", "ratio", "target", "targetKind", "met", "samples", "baselineSamples",
    ]

    private func measurements(_ arguments: [String]) async throws -> [[String: Any]] {
        let binary = try Binary()
        let temporary = binary.data("temporary")
        try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: true)
        let own = try Binary(environment: ["TMPDIR": temporary])
        let outcome = try await own.run(["bench"] + arguments + ["--rows", "300", "--rounds", "2", "--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: temporary).isEmpty)
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        )
        #expect(Set(report.keys) == ["benchmark", "build", "machine", "measurements"])
        #expect(report["benchmark"] as? String == arguments.first)
        let measurements = try #require(report["measurements"] as? [[String: Any]])
        for entry in measurements {
            #expect(Set(entry.keys) == BenchTests.keys)
            // An idle node may use less processor time in a second than the system can count.
            let least = (entry["name"] as? String)?.hasPrefix("idle, processor") == true ? -1.0 : 0
            #expect(try #require(entry["value"] as? Double) > least, "\(entry["name"] ?? "")")
        }
        try binary.clean()
        try own.clean()
        return measurements
    }

    private func check(_ entry: [String: Any], samples: Int, target: Double, kind: String) throws {
        #expect((entry["samples"] as? [Double])?.count == samples)
        #expect((entry["baselineSamples"] as? [Double])?.count == samples)
        #expect(entry["target"] as? Double == target)
        #expect(entry["targetKind"] as? String == kind)
        #expect(entry["met"] is Bool)
        #expect(try #require(entry["ratio"] as? Double) > 0)
    }

    @Test("capture compares inserts with triggers with inserts without, one by one and in bulk")
    func capture() async throws {
        let found = try await self.measurements(["capture"])
        try #require(found.count == 6)
        try self.check(found[0], samples: 12, target: 1.25, kind: "ratioAtMost")
        try self.check(found[1], samples: 12, target: 1.25, kind: "ratioAtMost")
        try self.check(found[2], samples: 2, target: 1.8, kind: "ratioAtMost")
        try self.check(found[5], samples: 2, target: 1.4, kind: "ratioAtMost")
    }

    @Test("apply compares batches with plain inserts")
    func apply() async throws {
        let found = try await self.measurements(["apply"])
        try #require(found.count == 6)
        try self.check(found[0], samples: 2, target: 0.4, kind: "ratioAtLeast")
        try self.check(found[2], samples: 2, target: 1.15, kind: "ratioAtMost")
        try self.check(found[4], samples: 2, target: 1.15, kind: "ratioAtMost")
    }

    @Test("size compares a clinic's file with the same rows in plain tables, and says what the node's tables take")
    func size() async throws {
        let binary = try Binary()
        let outcome = try await binary.run(["bench", "size", "--rows", "3000", "--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        )
        let found = try #require(report["measurements"] as? [[String: Any]])
        try #require(found.count > 2)
        try self.check(found[1], samples: 1, target: 1.4, kind: "ratioAtMost")
        #expect(found[2]["name"] as? String == "clinicsync_row, log pruned")
        try binary.clean()
    }

    @Test("propagate runs three nodes and sees every change on the far side")
    func propagate() async throws {
        let found = try await self.measurements(["propagate", "--seconds", "1", "--idle-seconds", "1"])
        try #require(found.count == 9)
        try self.check(found[0], samples: 100, target: 3, kind: "valueAtMost")
        try self.check(found[3], samples: 2, target: 20_000, kind: "valueAtLeast")
    }

    @Test("events runs three nodes and hears of every change at the far side's WebSocket")
    func events() async throws {
        let found = try await self.measurements(["events", "--seconds", "1"])
        try #require(found.count == 3)
        for (entry, target) in zip(found, [10.0, 30.0]) {
            #expect((entry["samples"] as? [Double])?.count == 100)
            #expect(entry["target"] as? Double == target)
            #expect(entry["met"] is Bool)
        }
    }

    @Test("a benchmark with impossible numbers is refused before anything is made")
    func usage() async throws {
        let binary = try Binary()
        for arguments in [["capture", "--rows", "0"], ["apply", "--rounds", "101"], ["propagate", "--seconds", "0"]] {
            #expect(try await binary.run(["bench"] + arguments).status == 64)
        }
        try binary.clean()
    }

    @Test("failover kills and stops the host of four processes, and the others go on")
    func failover() async throws {
        let binary = try Binary()
        let outcome = try await binary.run(["bench", "failover", "--rounds", "1", "--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        )
        let measurements = try #require(report["measurements"] as? [[String: Any]])
        #expect(measurements.map { $0["target"] as? Double } == [2_000, 3_000, 500, nil])
        #expect(measurements.allSatisfy { ($0["samples"] as? [Double])?.count == 1 })
        try binary.clean()
    }
}
