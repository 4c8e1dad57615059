import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import NIOConcurrencyHelpers

/// Measures how large a clinic's file is after a month, beside a file whose programs wrote the same without a node.
///
/// The time is virtual: each hour the programs write a part of the day's changes, the only other member acknowledges them, and the
/// node does its upkeep, as host.
struct PruneBenchmark: Benchmark {
    static let name = "prune"

    /// Changes of a day: a third edit a patient, a fifth add a row for good, and the rest is the day's queue, which the evening deletes.
    var changes: Int
    /// Days that pass.
    var days: Int

    /// Changes of one transaction of a program.
    private static let changesPerTransaction = 25
    private static let hour: Int64 = 3_600_000
    private static let retention: Int64 = 7 * 24 * Self.hour
    /// Rows at the beginning for each change of a day: a clinic of this size has been open for a while.
    private static let rowsPerChange = 9

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let node = try files.captured("prune-node.db")
        let patients = max(self.changes * PruneBenchmark.rowsPerChange / SizeBenchmark.rowsPerPatient, 1)
        _ = try SampleData(seed: 1).write(patients: patients, to: node)
        let plain = try SizeBenchmark.plain(of: node, called: "prune-plain.db", in: files)
        try self.live(node, plain, files)
        let file = try BenchFiles.megabytes(node, after: "PRAGMA optimize")
        let free = try PruneBenchmark.freeMegabytes(node)
        let beside = try BenchFiles.megabytes(plain, after: "PRAGMA optimize")
        let tombstones = try ProgramConnection(path: node, synchronous: .normal)
            .integer("SELECT count(*) FROM clinicsync_tombstone")
        let unpruned = try BenchFiles.megabytes(node, after: "VACUUM")
        let pruned = try BenchFiles.megabytes(node, after: "DELETE FROM clinicsync_log; VACUUM")
        let vacuumed = try BenchFiles.megabytes(plain, after: "VACUUM")
        let log = unpruned - pruned
        let title = "file after \(self.days) days of \(self.changes) changes"
        let whole = [
            Measurement(
                "\(title), less the log of the retention",
                unit: "MB",
                samples: [file - log],
                beside: [beside],
                goal: .ratioAtMost(1.4)
            ),
            Measurement("the same, both files after VACUUM", unit: "MB", samples: [pruned], beside: [vacuumed]),
            Measurement("the file as it is", unit: "MB", samples: [file]),
            Measurement("log of the last 7 days", unit: "MB", samples: [log]),
            Measurement("free pages in the file", unit: "MB", samples: [free]),
            Measurement("deleted rows that the file knows", unit: "rows", samples: [Double(tombstones)]),
        ]
        return try whole
            + SizeBenchmark.parts(of: node).map {
                Measurement("\($0.table), after VACUUM", unit: "MB", samples: [$0.megabytes])
            }
    }

    /// Lets the days pass.
    private func live(_ node: String, _ plain: String, _ files: BenchFiles) throws {
        let start = Int64(Date().timeIntervalSince1970 * 1_000)
        let now = NIOLockedValueBox(start)
        let writer = try ReplicaWriter(
            database: StoreDatabase.open(path: node),
            origin: files.origin,
            storeExtension: ClinicExtension()
        ) { now.withLockedValue { $0 } }
        let programs = try [node, plain].map { try ProgramConnection(path: $0, synchronous: .normal) }
        var day = ClinicDay(patients: try programs[0].texts("SELECT id FROM patients ORDER BY id"))
        var generator = SystemRandomNumberGenerator()
        let upkeep = HostUpkeep(
            writer: writer,
            own: files.origin.node,
            peer: NodeID(using: &generator),
            rounds: 4 + self.changes / 1_000
        )
        while try writer.collect(clockOffsetMilliseconds: 0).hasMore {}
        // The node has a peer from the beginning, which may have every batch.
        _ = try writer.restamp(clockOffsetMilliseconds: 0)
        let transactions = max(self.changes / PruneBenchmark.changesPerTransaction, 1)
        for _ in 0..<self.days {
            var written = 0
            for hour in 1...24 {
                now.withLockedValue { $0 += PruneBenchmark.hour }
                while written < transactions * hour / 24 {
                    written += 1
                    try PruneBenchmark.execute(day.transaction(), on: programs, writer)
                }
                if hour == 24 { try PruneBenchmark.execute(ClinicDay.evening, on: programs, writer) }
                try upkeep.carryOut(at: now.withLockedValue { $0 }, retention: PruneBenchmark.retention)
            }
        }
        try writer.close()
    }

    private static func execute(_ sql: String, on programs: [ProgramConnection], _ writer: ReplicaWriter) throws {
        for program in programs { try program.execute(sql) }
        while try writer.collect(clockOffsetMilliseconds: 0).hasMore {}
    }

    private static func freeMegabytes(_ path: String) throws -> Double {
        let connection = try ProgramConnection(path: path, synchronous: .normal)
        let bytes = try connection.integer("PRAGMA freelist_count") * connection.integer("PRAGMA page_size")
        return Double(bytes) / 1_000_000
    }
}

/// What programs write in a day, made up from one seed.
private struct ClinicDay {
    /// The end of a day: the queue is emptied.
    static let evening = "DELETE FROM active_patient_queue"

    private let patients: [String]
    private var state: UInt64 = 0x9e37_79b9_7f4a_7c15
    private var last = 0

    init(patients: [String]) { self.patients = patients }

    private mutating func below(_ limit: Int) -> Int {
        // xorshift64*; any evenly spread numbers would do.
        self.state ^= self.state >> 12
        self.state ^= self.state << 25
        self.state ^= self.state >> 27
        return Int((self.state &* 0x2545_f491_4f6c_dd1d).multipliedFullWidth(by: UInt64(max(limit, 1))).high)
    }

    private mutating func patient() -> String { self.patients[self.below(self.patients.count)] }

    /// Eight patients are edited, five appointments are added, and two patients come, move in the queue four times, and are deleted
    /// from it in the evening.
    mutating func transaction() -> String {
        var sql = "BEGIN IMMEDIATE;"
        for _ in 0..<8 {
            sql += """
                UPDATE patients SET contactNumber = '09\(100_000_000 + self.below(900_000_000))',
                updatedAt = '2026-11-28T08:00:00.000Z' WHERE id = '\(self.patient())';
                """
        }
        for _ in 0..<5 {
            self.last += 1
            sql += """
                INSERT INTO appointments(id, patientId, date, time, consultationType, durationMinutes, status, notes)
                VALUES('a-\(self.last)-\(self.below(1_000_000))', '\(self.patient())', '2026-12-0\(1 + self.below(9))', '08:30',
                'General consultation', 30, 'Scheduled', 'Follow-up of the visit of last month');
                """
        }
        for _ in 0..<2 {
            self.last += 1
            let key = "q-\(self.last)-\(self.below(1_000_000))"
            sql += """
                INSERT INTO active_patient_queue(queueEntryId, patientId, patientName, arrivalTime, queueNumber, status, createdAt)
                VALUES('\(key)', '\(self.patient())', 'Ana Reyes', '2026-11-28T08:00:00.000Z', \(self.last % 200), 'waiting',
                '2026-11-28T08:00:00.000Z');
                """
            for status in ["in_progress", "in_consultation", "paid", "served"] {
                sql += """
                    UPDATE active_patient_queue SET status = '\(status)', servedAt = '2026-11-28T09:00:00.000Z'
                    WHERE queueEntryId = '\(key)';
                    """
            }
        }
        return sql + "COMMIT"
    }
}

/// The upkeep of a host with one connected client that has everything.
private struct HostUpkeep {
    let writer: ReplicaWriter
    let own: NodeID
    let peer: NodeID

    /// Rounds of upkeep in an hour.
    ///
    /// A node has 360, each of which looks at 1 024 deleted rows at most; these are enough to look at all of them.
    let rounds: Int

    func carryOut(at milliseconds: Int64, retention: Int64) throws {
        let vector = try self.writer.state().vector
        try self.writer.recordAcknowledged(
            [MemberProgress(node: self.peer, vector: vector, seenMilliseconds: milliseconds)]
        )
        let presence = MemberPresence(
            isHost: true,
            members: [self.own, self.peer].sorted(),
            days: [self.peer: milliseconds],
            linked: [self.peer],
            clinicMilliseconds: milliseconds
        )
        for _ in 0..<self.rounds {
            _ = try self.writer.maintain(retentionMilliseconds: retention, presence: presence)
        }
        while try self.writer.collect(clockOffsetMilliseconds: 0).hasMore {}
    }
}
