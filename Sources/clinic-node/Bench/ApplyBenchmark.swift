import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB

/// Measures how fast a node applies batches, in turns with plain inserts of the same rows.
struct ApplyBenchmark: Benchmark {
    static let name = "apply"

    /// Rows of the large batch.
    var rows: Int
    /// Repetitions of each kind.
    var rounds: Int

    /// Payload bytes handed to the store at a time, as the core does: 4 MiB.
    private static let storeBytesMax = 4 << 20
    /// Single-row batches in one round, at most.
    private static let smallBatchesMax = 2_000
    /// Changes among which some conflict, at most.
    private static let conflictChangesMax = 20_000
    /// Services that one statement renames, at most.
    private static let servicesMax = 3_000

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let conflicts = ConflictBenchmark(
            changes: min(self.rows, ApplyBenchmark.conflictChangesMax),
            rounds: self.rounds
        )
        let renames = RenameBenchmark(services: min(self.rows, ApplyBenchmark.servicesMax), rounds: self.rounds)
        return try self.large(in: files) + self.small(in: files) + conflicts.run(in: files) + renames.run(in: files)
    }

    /// Milliseconds for which one row is applied to one file, in a transaction of its own: the median.
    func millisecondsOfOneRow(in files: BenchFiles) throws -> Double {
        let chunks = try self.chunks(of: PatientRows(count: self.rows, batch: 2), batches: self.rows)
        let writer = try files.writer(of: files.captured("row-node.db"))
        let times = try chunks.map { chunk in
            try seconds { _ = try writer.store([chunk], clockOffsetMilliseconds: 0) } * 1_000
        }
        try writer.close()
        return times.quantile(0.5)
    }

    private func large(in files: BenchFiles) throws -> [Measurement] {
        let data = PatientRows(count: self.rows, batch: 0)
        let chunks = try self.chunks(of: data, batches: 1)
        let sessions = SessionExtension()
        if sessions == nil { Output.report("Skipped: this SQLite was built without the session extension.") }
        var changes = try sessions.map { try self.recorded(data, by: $0, in: files) } ?? []
        var (applied, plain, recorded): ([Double], [Double], [Double]) = ([], [], [])
        for _ in 0..<self.rounds {
            plain.append(try self.insert(data, into: files.plain("apply-plain.db"), perTransaction: data.count))
            let path = try files.captured("apply-node.db")
            applied.append(try self.apply(chunks, into: path, atOnce: true, files: files))
            guard let sessions else { continue }
            let peer = try ProgramConnection(path: files.plain("apply-peer.db"), synchronous: .normal)
            recorded.append(try seconds { try sessions.apply(&changes, to: peer) })
        }
        func rates(_ times: [Double]) -> [Double] { times.map { Double(self.rows) / $0 } }
        let name = "apply, \(self.rows) rows in one batch"
        let beside = Measurement(
            "\(name), beside the session extension's apply",
            unit: "rows/s",
            samples: rates(applied),
            beside: rates(recorded)
        )
        return [
            Measurement(name, unit: "rows/s", samples: rates(applied), beside: rates(plain), goal: .ratioAtLeast(0.4))
        ] + (recorded.isEmpty ? [] : [beside])
    }

    /// The rows' insertion as SQLite's session extension records it.
    private func recorded(_ data: PatientRows, by sessions: SessionExtension, in files: BenchFiles) throws -> [UInt8] {
        let connection = try ProgramConnection(path: files.plain("apply-recorded.db"), synchronous: .normal)
        let statement = try connection.prepare(PatientRows.insertSQL)
        return try sessions.record(connection) {
            try connection.execute("BEGIN IMMEDIATE")
            try data.insert(0..<data.count, with: statement)
            try connection.execute("COMMIT")
        }
    }

    private func small(in files: BenchFiles) throws -> [Measurement] {
        let count = min(self.rows, ApplyBenchmark.smallBatchesMax)
        let data = PatientRows(count: count, batch: 1)
        let chunks = try self.chunks(of: data, batches: count)
        var applied: [Double] = []
        var plain: [Double] = []
        for _ in 0..<self.rounds {
            plain.append(try self.insert(data, into: files.plain("small-plain.db"), perTransaction: 1))
            let path = try files.captured("small-node.db")
            applied.append(try self.apply(chunks, into: path, atOnce: false, files: files))
        }
        return [
            Measurement(
                "apply, batches of one row, a transaction each",
                unit: "batches/s",
                samples: applied.map { Double(count) / $0 },
                beside: plain.map { Double(count) / $0 }
            )
        ]
    }

    /// The chunks that a node sends which finds the rows in so many transactions.
    private func chunks(of data: PatientRows, batches: Int) throws -> [BatchChunk] {
        let queue = try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
        var generator = SystemRandomNumberGenerator()
        let author = Origin(node: NodeID(using: &generator))
        let writer = try ReplicaWriter(database: StoreDatabase(single: queue), origin: author) {
            Int64(Date().timeIntervalSince1970 * 1_000)
        }
        let seeds = try writer.collect(clockOffsetMilliseconds: 0)
        let perBatch = (data.count + batches - 1) / batches
        for batch in 0..<batches {
            try queue.write { db in
                for row in batch * perBatch..<min(data.count, (batch + 1) * perBatch) {
                    try db.cachedStatement(sql: PatientRows.insertSQL).execute(
                        arguments: StatementArguments(data.row(row))
                    )
                }
            }
            while try writer.collect(clockOffsetMilliseconds: 0).hasMore {}
        }
        let reader = try ReplicaReader(beside: writer)
        let position = seeds.logged.last?.position ?? 0
        let chunks = try reader.readLog(after: position, maxBytes: .max).chunks.map(\.chunk)
        try writer.close()
        return chunks
    }

    private func insert(_ data: PatientRows, into path: String, perTransaction: Int) throws -> Double {
        let connection = try ProgramConnection(path: path, synchronous: .normal)
        let statement = try connection.prepare(PatientRows.insertSQL)
        return try seconds {
            guard perTransaction > 1 else { return try data.insert(0..<data.count, with: statement) }
            try connection.execute("BEGIN IMMEDIATE")
            try data.insert(0..<data.count, with: statement)
            try connection.execute("COMMIT")
        }
    }

    private func apply(_ chunks: [BatchChunk], into path: String, atOnce: Bool, files: BenchFiles) throws -> Double {
        let writer = try files.writer(of: path)
        let requests = atOnce ? ApplyBenchmark.requests(chunks) : chunks.map { [$0] }
        let took = try seconds {
            for request in requests { _ = try writer.store(request, clockOffsetMilliseconds: 0) }
            if atOnce { _ = try writer.applyStored(clockOffsetMilliseconds: 0) }
        }
        try writer.close()
        return took
    }

    /// Divides the chunks among requests to the store.
    private static func requests(_ chunks: [BatchChunk]) -> [[BatchChunk]] {
        var requests: [[BatchChunk]] = []
        var bytes = 0
        for chunk in chunks {
            bytes += chunk.payload.count
            if requests.isEmpty || bytes > self.storeBytesMax {
                requests.append([])
                bytes = chunk.payload.count
            }
            requests[requests.count - 1].append(chunk)
        }
        return requests
    }
}
