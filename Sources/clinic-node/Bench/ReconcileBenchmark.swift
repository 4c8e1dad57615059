import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation

/// Measures the messages with which a client finds out that its tables are equal to the host's, or where they differ.
struct ReconcileBenchmark: Benchmark {
    static let name = "reconcile"

    /// Rows of each node.
    var rows: Int

    /// Rows of one batch: so rows have stamps of many moments.
    private static let batchRows = 100
    /// Rounds in sync.
    private static let rounds = 20

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let pair = try ReconciledPair(files)
        let data = PatientRows(count: self.rows, batch: 0)
        try pair.fill(data, batchRows: ReconcileBenchmark.batchRows)
        var measurements = try self.inSync(pair)
        let scattered = (0..<10).map { data.row($0 * self.rows / 10 + self.rows / 20)[0] }
        measurements += try self.differing(pair, "10 scattered rows", scattered, bytesMax: 16_000)
        let newest = (self.rows - 100..<self.rows).map { data.row($0)[0] }
        measurements += try self.differing(pair, "the 100 newest rows", newest, bytesMax: 6_000)
        try pair.close()
        return measurements
    }

    private func inSync(_ pair: ReconciledPair) throws -> [Measurement] {
        _ = try pair.round()
        var bytes: [Double] = []
        var times: [Double] = []
        var trips: [Double] = []
        for _ in 0..<ReconcileBenchmark.rounds {
            let start = clock()
            let traffic = try pair.round()
            times.append(Double(clock() - start) / Double(CLOCKS_PER_SEC) * 1_000)
            guard traffic.result == .equal else { throw ReconcileFailure(result: traffic.result) }
            bytes.append(Double(traffic.bytes))
            trips.append(Double(traffic.roundTrips))
        }
        let name = "\(self.rows) rows in sync"
        let bytesMax: Double = self.rows > 100_000 ? 600 : 400
        return [
            Measurement("\(name), both messages", unit: "bytes", samples: bytes, goal: .valueAtMost(bytesMax)),
            Measurement("\(name), round trips", unit: "", samples: trips, goal: .valueAtMost(1)),
            Measurement("\(name), processor time of both", unit: "ms", samples: times, goal: .valueAtMost(5)),
        ]
    }

    private func differing(
        _ pair: ReconciledPair,
        _ what: String,
        _ keys: [String],
        bytesMax: Double
    ) throws -> [Measurement] {
        try pair.lose(keys)
        var traffic = ReconciledPair.Traffic()
        let took = try seconds { traffic = try pair.round() }
        guard traffic.result == .repaired else { throw ReconcileFailure(result: traffic.result) }
        let name = "\(what) of \(self.rows) missing"
        return [
            Measurement(
                "\(name), to find them",
                unit: "bytes",
                samples: [Double(traffic.bytes)],
                goal: .valueAtMost(bytesMax)
            ),
            Measurement("\(name), the rows", unit: "bytes", samples: [Double(traffic.rowBytes)]),
            Measurement("\(name), round trips", unit: "", samples: [Double(traffic.roundTrips)]),
            Measurement("\(name), the whole round", unit: "ms", samples: [took * 1_000]),
        ]
    }
}

/// A round of the benchmark ended in another way than it must.
struct ReconcileFailure: Error, CustomStringConvertible {
    let result: ReconciliationResult?

    var description: String { "The round ended as \(self.result.map { "\($0)" } ?? "nothing")." }
}
