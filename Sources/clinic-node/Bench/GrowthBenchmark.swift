import ClinicSync
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import NIOConcurrencyHelpers

/// Measures how costs grow: with the rows of a table, with the rows of a transaction, and with the programs that write at once.
struct GrowthBenchmark: Benchmark {
    static let name = "growth"

    /// Rows of the largest table.
    var rows: Int
    /// How often each size is measured.
    var rounds: Int

    /// Rows of a transaction while the tables grow.
    private static let rowsPerTransaction = 1_000
    /// Rows of the largest transaction.
    private static let transactionMax = 100_000
    /// Rows of all repetitions of a small transaction together, about.
    private static let repeatedRows = 200
    /// Programs that write at once, and the transactions of each.
    private static let writers = [1, 2, 4, 8]
    private static let transactionsOfWriter = 100

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let figures = try self.tables(in: files) + self.transactions(in: files) + self.programs(in: files)
        return figures + Growth.shapes(of: figures)
    }

    // MARK: - Tables

    /// The times in seconds for a table of one size.
    private struct Times {
        var plain: [Double] = []
        var captured: [Double] = []
        var collected: [Double] = []
        var applied: [Double] = []
        var sessions: [Double] = []
        var copied: [Double] = []
    }

    private func tables(in files: BenchFiles) throws -> [Measurement] {
        let sizes = Growth.sizes(from: 1_000, through: self.rows)
        return try sizes.flatMap { rows in
            var times = Times()
            for round in 0..<self.rounds {
                try self.table(of: PatientRows(count: rows, batch: 500 + round), in: files, &times)
            }
            let peer = times.sessions.isEmpty ? "plain inserts" : "the session extension"
            return [
                Measurement("insert with capture", unit: "s", samples: times.captured, beside: times.plain),
                Measurement("collect, beside plain inserts", unit: "s", samples: times.collected, beside: times.plain),
                Measurement(
                    "apply, beside \(peer)",
                    unit: "s",
                    samples: times.applied,
                    beside: times.sessions.isEmpty ? times.plain : times.sessions
                ),
                Measurement("cp of the node's file", unit: "s", samples: times.copied),
            ].map { $0.of(rows, .rows) }
        }
    }

    private func table(of data: PatientRows, in files: BenchFiles, _ times: inout Times) throws {
        let plain = try ProgramConnection(path: files.plain("growth-plain.db"), synchronous: .normal)
        let sessions = SessionExtension()
        var changesets: [[UInt8]] = []
        // A session's own cost is not that of a plain insert, so its changes are recorded from a copy.
        let recorded = try ProgramConnection(path: files.plain("growth-recorded.db"), synchronous: .normal)
        times.plain.append(try seconds { try self.insert(data, with: plain) { try $0() } })
        if let sessions {
            try self.insert(data, with: recorded) { changesets.append(try sessions.record(recorded, $0)) }
        }
        let path = try files.captured("growth-node.db")
        let captured = try ProgramConnection(path: path, synchronous: .normal)
        let writer = try files.writer(of: path)
        // What the node keeps from before is no row of the table.
        _ = try writer.collectedChunks()
        times.captured.append(try seconds { try self.insert(data, with: captured) { try $0() } })
        var chunks: [BatchChunk] = []
        times.collected.append(try seconds { chunks = try writer.collectedChunks() })
        try writer.close()
        times.applied.append(try self.apply(chunks, in: files))
        if let sessions {
            let target = try ProgramConnection(path: files.plain("growth-target.db"), synchronous: .normal)
            times.sessions.append(
                try seconds { for index in changesets.indices { try sessions.apply(&changesets[index], to: target) } }
            )
        }
        // A process of its own: closing the file here would end the locks of this process's connections.
        let copy = [path, files.path("growth-copy.db")]
        times.copied.append(try seconds { _ = try ChildProcess.output(of: "/bin/cp", copy, in: files.folder.path) })
    }

    /// Inserts all rows in transactions, each of which `around` runs.
    private func insert(
        _ data: PatientRows,
        with connection: ProgramConnection,
        around: (() throws -> Void) throws -> Void
    ) throws {
        let statement = try connection.prepare(PatientRows.insertSQL)
        for first in stride(from: 0, to: data.count, by: GrowthBenchmark.rowsPerTransaction) {
            try around {
                try connection.execute("BEGIN IMMEDIATE")
                try data.insert(first..<min(first + GrowthBenchmark.rowsPerTransaction, data.count), with: statement)
                try connection.execute("COMMIT")
            }
        }
    }

    private func apply(_ chunks: [BatchChunk], in files: BenchFiles) throws -> Double {
        let node = try files.peer("growth-peer.db")
        defer { _ = Result { try node.close() } }
        return try seconds {
            for chunk in chunks { _ = try node.store([chunk], clockOffsetMilliseconds: 0) }
            _ = try node.applyStored(clockOffsetMilliseconds: 0)
        }
    }

    // MARK: - Transactions

    private func transactions(in files: BenchFiles) throws -> [Measurement] {
        let sizes = Growth.sizes(from: 1, through: min(self.rows, GrowthBenchmark.transactionMax))
        return try sizes.map { rows in
            let path = try files.captured("growth-node.db")
            let (node, other) = (try files.writer(of: path), try files.peer("growth-peer.db"))
            defer { for writer in [node, other] { _ = Result { try writer.close() } } }
            _ = try other.store(try node.collectedChunks(), clockOffsetMilliseconds: 0)
            let connections = [
                try ProgramConnection(path: files.plain("growth-plain.db"), synchronous: .normal),
                try ProgramConnection(path: path, synchronous: .normal),
            ]
            let statements = try connections.map { try $0.prepare(PatientRows.insertSQL) }
            let repetitions = max(self.rounds, GrowthBenchmark.repeatedRows / rows)
            let data = PatientRows(count: rows * repetitions, batch: 600)
            var times: [[Double]] = [[], []]
            for repetition in 0..<repetitions {
                for (kind, connection) in connections.enumerated() {
                    let took = try seconds {
                        try connection.execute("BEGIN IMMEDIATE")
                        try data.insert(repetition * rows..<(repetition + 1) * rows, with: statements[kind])
                        try connection.execute("COMMIT")
                        guard kind == 1 else { return }
                        _ = try other.store(try node.collectedChunks(), clockOffsetMilliseconds: 0)
                        _ = try other.applyStored(clockOffsetMilliseconds: 0)
                    }
                    times[kind].append(took * 1_000)
                }
            }
            return Measurement(
                "a transaction with capture, collected and applied, beside a plain one",
                unit: "ms",
                samples: times[1],
                beside: times[0]
            ).of(rows, .rowsOfTransaction)
        }
    }

    // MARK: - Programs

    private func programs(in files: BenchFiles) throws -> [Measurement] {
        try GrowthBenchmark.writers.map { count in
            var times: [[Double]] = [[], []]
            for _ in 0..<self.rounds {
                for (kind, path) in [try files.plain("growth-plain.db"), try files.captured("growth-node.db")]
                    .enumerated()
                {
                    times[kind].append(try self.write(path, programs: count))
                }
            }
            return Measurement(
                "\(GrowthBenchmark.transactionsOfWriter) inserts of each program at once, a transaction each",
                unit: "s",
                samples: times[1],
                beside: times[0]
            ).of(count, .writers)
        }
    }

    /// Seconds until all programs, each a thread, have written their rows.
    private func write(_ path: String, programs count: Int) throws -> Double {
        let failures = NIOLockedValueBox<[any Error]>([])
        let ended = DispatchSemaphore(value: 0)
        let took = seconds {
            for number in 0..<count {
                Thread.detachNewThread {
                    defer { ended.signal() }
                    do {
                        // A connection belongs to one thread.
                        let program = try ProgramConnection(path: path, synchronous: .normal)
                        let data = PatientRows(count: GrowthBenchmark.transactionsOfWriter, batch: 700 + number)
                        let insert = try program.prepare(PatientRows.insertSQL)
                        try data.insert(0..<data.count, with: insert)
                    } catch { failures.withLockedValue { $0.append(error) } }
                }
            }
            for _ in 0..<count { ended.wait() }
        }
        if let failure = failures.withLockedValue({ $0.first }) { throw failure }
        return took
    }
}

/// How figures grow with their sizes.
enum Growth {
    /// n log n from a thousand to a million grows as fast as n to the power of 1.1; the rest is noise.
    private static let exponentMax = 1.15
    /// So many sizes, the largest, say how a cost grows; with the small ones, what a piece of work costs in any case would hide it.
    private static let sizesOfShape = 3

    /// The powers of ten from one size through another, or `first` alone when there are none.
    static func sizes(from first: Int, through last: Int) -> [Int] {
        var sizes = [first]
        while let size = sizes.last, size * 10 <= last { sizes.append(size * 10) }
        return sizes
    }

    /// For each figure of several sizes the exponent of the power of the size with which it grows.
    static func shapes(of figures: [Measurement]) -> [Measurement] {
        var seen: Set<String> = []
        return figures.compactMap { figure in
            guard let unit = figure.sizeUnit, seen.insert(figure.name + unit.rawValue).inserted else { return nil }
            let same = figures.filter { $0.name == figure.name && $0.sizeUnit == unit }
            let points = same.compactMap { point in point.size.map { (size: Double($0), value: point.value) } }
            let largest = points.sorted { $0.size < $1.size }.suffix(self.sizesOfShape)
            return self.exponent(Array(largest)).map {
                let name = "\(figure.name): exponent of growth with \(unit.rawValue)"
                return Measurement(name, unit: "power", samples: [$0], goal: .valueAtMost(self.exponentMax))
            }
        }
    }

    /// The slope of the line through the logarithms of sizes and costs, by least squares; `nil` for fewer than two sizes or a cost of nothing.
    static func exponent(_ points: [(size: Double, value: Double)]) -> Double? {
        guard points.count > 1, points.allSatisfy({ $0.size > 0 && $0.value > 0 }) else { return nil }
        let logarithms = points.map { (x: log($0.size), y: log($0.value)) }
        let count = Double(points.count)
        let middle = (x: logarithms.reduce(0) { $0 + $1.x } / count, y: logarithms.reduce(0) { $0 + $1.y } / count)
        let spread = logarithms.reduce(0) { $0 + ($1.x - middle.x) * ($1.x - middle.x) }
        guard spread > 0 else { return nil }
        return logarithms.reduce(0) { $0 + ($1.x - middle.x) * ($1.y - middle.y) } / spread
    }
}
