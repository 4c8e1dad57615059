import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB

/// Measures what the second layer of merging costs.
///
/// The same batches of bills are applied where that layer is idle, where it is active without conflicts, and where a
/// quarter of the changes conflicts.
struct ConflictBenchmark {
    /// Changes of each run.
    var changes: Int
    /// Repetitions of each kind.
    var rounds: Int

    /// Of twenty changes so many are second claims of an invoice number, edits of a column that the receiver edited, and children
    /// of a row that the receiver deleted; 10, 10 and 5 in a hundred.
    private static let cycle = 20
    /// The patients that the receiver may delete begin here.
    private static let deletedFrom = 100
    /// Single-change batches in one round, at most.
    private static let smallBatchesMax = 2_000

    /// The changes at the receiver before the batches arrive.
    private enum Receiver: CaseIterable {
        /// Nothing.
        case untouched
        /// It deleted rows and claimed an invoice number, none of which concern the batches.
        case active
        /// Its changes conflict with a quarter of the batches' changes.
        case conflicting
    }

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let small = min(self.changes, ConflictBenchmark.smallBatchesMax)
        return try self.measure(self.changes, batches: 1, in: files) + self.measure(small, batches: small, in: files)
    }

    private func measure(_ changes: Int, batches: Int, in files: BenchFiles) throws -> [Measurement] {
        let author = try Author(changes: changes, batches: batches)
        var seconds: [Receiver: [Double]] = [:]
        for _ in 0..<self.rounds {
            for receiver in Receiver.allCases {
                seconds[receiver, default: []].append(try self.apply(author, at: receiver, files: files))
            }
        }
        let what = "\(changes) changes in \(batches == 1 ? "one batch" : "batches of one")"
        return [
            Measurement(
                "apply, \(what), second layer active",
                unit: "s",
                samples: seconds[.active] ?? [],
                beside: seconds[.untouched] ?? [],
                goal: .ratioAtMost(1.15)
            ),
            Measurement(
                "apply, \(what), 25 % of them in conflict",
                unit: "s",
                samples: seconds[.conflicting] ?? [],
                beside: seconds[.untouched] ?? []
            ),
        ]
    }

    /// The batches of another node.
    private struct Author {
        let changes: Int
        /// Patients and the bills that are edited.
        let base: [BatchChunk]
        /// A bill whose invoice number an active receiver has given to another.
        let claim: [BatchChunk]
        /// The batches that are measured.
        let batches: [[BatchChunk]]

        init(changes: Int, batches: Int) throws {
            self.changes = changes
            let queue = try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
            var generator = SystemRandomNumberGenerator()
            let writer = try ReplicaWriter(
                database: StoreDatabase(single: queue),
                origin: Origin(node: NodeID(using: &generator))
            ) { Int64(Date().timeIntervalSince1970 * 1_000) }
            func chunks(_ sql: String) throws -> [BatchChunk] {
                try queue.writeWithoutTransaction { try $0.execute(sql: "BEGIN; \(sql); COMMIT") }
                return try writer.collectedChunks()
            }
            self.base = try chunks(
                """
                WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299)
                INSERT INTO patients (id, fullName) SELECT 'p' || i, 'Name' FROM n;
                WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < \(changes))
                INSERT INTO patient_bills (id, patientId, invoiceNumber, billDate, totalAmount, status)
                SELECT 'b' || i, 'p' || (i % 100), 'B' || i, 't', 1, 'Unpaid' FROM n WHERE i % \(ConflictBenchmark.cycle) IN (2, 3)
                """
            )
            self.claim = try chunks(ConflictBenchmark.bill(key: "'claim'", invoice: "'X'", patient: "'p0'"))
            let size = (changes + batches - 1) / batches
            self.batches = try stride(from: 0, to: changes, by: size).map { start in
                try chunks(ConflictBenchmark.changes(from: start, to: min(start + size, changes)))
            }
            try writer.close()
        }
    }

    private static func bill(key: String, invoice: String, patient: String) -> String {
        """
        INSERT INTO patient_bills (id, patientId, invoiceNumber, billDate, totalAmount, status)
        SELECT \(key), \(patient), \(invoice), 't', 1, 'Unpaid'
        """
    }

    /// The author's changes with these numbers.
    private static func changes(from start: Int, to end: Int) -> String {
        let numbers = "WITH RECURSIVE n(i) AS (SELECT \(start) UNION ALL SELECT i + 1 FROM n WHERE i < \(end - 1))"
        let patient = "'p' || (i % 100 + CASE i % \(self.cycle) WHEN 4 THEN \(self.deletedFrom) ELSE 0 END)"
        return """
            \(numbers)
            \(self.bill(key: "'n' || i", invoice: "'N' || i", patient: patient)) FROM n WHERE i % \(self.cycle) NOT IN (2, 3);
            \(numbers)
            UPDATE patient_bills SET notes = 'by the author' WHERE id IN (SELECT 'b' || i FROM n WHERE i % \(self.cycle) IN (2, 3))
            """
    }

    /// The SQL that programs at the receiver run.
    private static func writes(_ receiver: Receiver, changes: Int) -> String? {
        let numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < \(changes - 1))"
        let claim = self.bill(key: "'own'", invoice: "'X'", patient: "'p1'")
        switch receiver {
        case .untouched:
            return nil
        case .active:
            return "\(claim); DELETE FROM patients WHERE substr(id, 2) + 0 >= \(self.deletedFrom + 100)"
        case .conflicting:
            return """
                \(claim);
                \(numbers)
                \(self.bill(key: "'r' || i", invoice: "'N' || i", patient: "'p2'")) FROM n WHERE i % \(self.cycle) IN (0, 1);
                UPDATE patient_bills SET notes = 'by the receiver' WHERE id LIKE 'b%';
                DELETE FROM patients WHERE substr(id, 2) + 0 >= \(self.deletedFrom)
                """
        }
    }

    /// Brings a new file to where the batches come, and measures how long they take.
    private func apply(_ author: Author, at receiver: Receiver, files: BenchFiles) throws -> Double {
        let path = try files.captured("conflict-node.db")
        let writer = try files.writer(of: path)
        func store(_ chunks: [BatchChunk]) throws {
            if try writer.store(chunks, clockOffsetMilliseconds: 0).isApplyPending {
                _ = try writer.applyStored(clockOffsetMilliseconds: 0)
            }
        }
        try store(author.base)
        if let sql = ConflictBenchmark.writes(receiver, changes: author.changes) {
            try ProgramConnection(path: path, synchronous: .normal).execute("BEGIN; \(sql); COMMIT")
            while try writer.collect(clockOffsetMilliseconds: 0).hasMore {}
        }
        try store(author.claim)
        let took = try seconds { for batch in author.batches { try store(batch) } }
        try writer.close()
        return took
    }
}
