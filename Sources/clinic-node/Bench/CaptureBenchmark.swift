import ClinicSyncCore
import ClinicSyncStorage
import Foundation

/// Measures what capture costs the program that writes: the same inserts with the triggers and without them, in turns.
struct CaptureBenchmark: Benchmark {
    static let name = "capture"

    /// Rows of one bulk insert.
    var rows: Int
    /// Bulk inserts of each kind.
    var rounds: Int

    /// Inserts of one round of the autocommit part.
    private static let autocommitRows = 200
    /// Rounds of the autocommit part for each round of bulk inserts.
    private static let autocommitRounds = 6

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        try self.autocommit(.normal, in: files) + self.autocommit(.full, in: files) + self.bulk(in: files)
    }

    private func autocommit(_ synchronous: ProgramConnection.Synchronous, in files: BenchFiles) throws -> [Measurement]
    {
        let rounds = self.rounds * CaptureBenchmark.autocommitRounds
        let data = PatientRows(count: CaptureBenchmark.autocommitRows * rounds, batch: 0)
        let connections = [
            try ProgramConnection(path: files.plain("auto-plain.db"), synchronous: synchronous),
            try ProgramConnection(path: files.captured("auto-captured.db"), synchronous: synchronous),
        ]
        let statements = try connections.map { try $0.prepare(PatientRows.insertSQL) }
        var microseconds: [[Double]] = [[], []]
        for round in 0..<rounds {
            let first = round * CaptureBenchmark.autocommitRows
            for (kind, statement) in statements.enumerated() {
                let took = try seconds {
                    try data.insert(first..<first + CaptureBenchmark.autocommitRows, with: statement)
                }
                microseconds[kind].append(took * 1_000_000 / Double(CaptureBenchmark.autocommitRows))
            }
        }
        return [
            Measurement(
                "insert, autocommit, synchronous \(synchronous.rawValue)",
                unit: "µs",
                samples: microseconds[1],
                beside: microseconds[0],
                goal: .ratioAtMost(1.25)
            )
        ]
    }

    private func bulk(in files: BenchFiles) throws -> [Measurement] {
        let data = PatientRows(count: self.rows, batch: 1)
        var samples = Samples()
        for _ in 0..<self.rounds {
            let plain = try files.plain("bulk-plain.db")
            samples.plain.append(try self.insert(data, into: plain))
            let captured = try files.captured("bulk-captured.db")
            samples.captured.append(try self.insert(data, into: captured))
            samples.collected.append(try self.collect(captured, files: files))
            try samples.sizes.append(CaptureBenchmark.sizes(plain: plain, captured: captured))
        }
        return [
            Measurement(
                "insert, \(self.rows) rows in one transaction",
                unit: "s",
                samples: samples.captured,
                beside: samples.plain,
                goal: .ratioAtMost(1.8)
            ),
            Measurement(
                "collect, against the plain insert",
                unit: "rows/s",
                samples: samples.collected.map { Double(self.rows) / $0 },
                beside: samples.plain.map { Double(self.rows) / $0 }
            ),
            Measurement(
                "file, log included",
                unit: "MB",
                samples: samples.sizes.map(\.withLog),
                beside: samples.sizes.map(\.plain)
            ),
            Measurement(
                "file, log pruned",
                unit: "MB",
                samples: samples.sizes.map(\.pruned),
                beside: samples.sizes.map(\.plain),
                goal: .ratioAtMost(1.4)
            ),
        ]
    }

    /// The results of the rounds of the bulk part; times in seconds.
    private struct Samples {
        var plain: [Double] = []
        var captured: [Double] = []
        var collected: [Double] = []
        var sizes: [Sizes] = []
    }

    private struct Sizes {
        var plain: Double
        var withLog: Double
        var pruned: Double
    }

    private func insert(_ data: PatientRows, into path: String) throws -> Double {
        let connection = try ProgramConnection(path: path, synchronous: .normal)
        let statement = try connection.prepare(PatientRows.insertSQL)
        return try seconds {
            try connection.execute("BEGIN IMMEDIATE")
            try data.insert(0..<data.count, with: statement)
            try connection.execute("COMMIT")
        }
    }

    /// Collects the inserted rows, as a node does; returns the seconds.
    private func collect(_ path: String, files: BenchFiles) throws -> Double {
        let writer = try files.writer(of: path)
        let took = try seconds { while try writer.collect(clockOffsetMilliseconds: 0).hasMore {} }
        try writer.close()
        return took
    }

    private static func sizes(plain: String, captured: String) throws -> Sizes {
        let plainMegabytes = try BenchFiles.megabytes(plain, after: "VACUUM")
        let withLog = try BenchFiles.megabytes(captured, after: "VACUUM")
        let pruned = try BenchFiles.megabytes(captured, after: "DELETE FROM clinicsync_log; VACUUM")
        return Sizes(plain: plainMegabytes, withLog: withLog, pruned: pruned)
    }
}
