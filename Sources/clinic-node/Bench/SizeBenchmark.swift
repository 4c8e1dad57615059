import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncStorage
import Foundation

/// Measures how large a clinic's file is, beside a file with the clinic's tables only.
struct SizeBenchmark: Benchmark {
    static let name = "size"

    /// Rows of all tables together, roughly.
    var rows: Int

    /// Rows that the made-up data has for each patient, roughly.
    static let rowsPerPatient = 15

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let node = try files.captured("size-node.db")
        let patients = max(self.rows / SizeBenchmark.rowsPerPatient, 1)
        let rows = try SampleData(seed: 1).write(patients: patients, to: node).reduce(0) { $0 + $1.rows }
        try SizeBenchmark.collect(node, files: files)
        let plain = try SizeBenchmark.plain(of: node, called: "size-plain.db", in: files)
        let withLog = try BenchFiles.megabytes(node, after: "VACUUM")
        let pruned = try BenchFiles.megabytes(node, after: "DELETE FROM clinicsync_log; VACUUM")
        let beside = try BenchFiles.megabytes(plain, after: "VACUUM")
        let whole = [
            Measurement("file of \(rows) rows, log included", unit: "MB", samples: [withLog], beside: [beside]),
            Measurement(
                "file of \(rows) rows, log pruned",
                unit: "MB",
                samples: [pruned],
                beside: [beside],
                goal: .ratioAtMost(1.35)
            ),
        ]
        return try whole
            + SizeBenchmark.parts(of: node).map {
                Measurement("\($0.table), log pruned", unit: "MB", samples: [$0.megabytes])
            }
    }

    /// Collects the rows that programs wrote, as a node does.
    private static func collect(_ path: String, files: BenchFiles) throws {
        let writer = try files.writer(of: path)
        while try writer.collect(clockOffsetMilliseconds: 0).hasMore {}
        try writer.close()
    }

    /// A file with the clinic's tables and their indexes alone, and the same rows, inserted one by one in the order in which programs
    /// inserted them.
    ///
    /// Without an order SQLite copies whole indexes sorted, and they take less space than programs' writes make of them.
    static func plain(of node: String, called name: String, in files: BenchFiles) throws -> String {
        let path = try files.plain(name)
        let connection = try ProgramConnection(path: path, synchronous: .normal)
        let tables = try connection.texts("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        try connection.execute("ATTACH '\(node)' AS node; BEGIN")
        for table in tables where !table.hasPrefix("sqlite_") {
            try connection.execute(
                """
                DELETE FROM main.\(table);
                INSERT INTO main.\(table) SELECT * FROM node.\(table) ORDER BY rowid
                """
            )
        }
        try connection.execute("COMMIT; DETACH node")
        return path
    }

    struct Part {
        var table: String
        var megabytes: Double
    }

    /// The size of each of the node's tables with its indexes, the largest first: the file shrinks by it without the rows.
    static func parts(of path: String) throws -> [Part] {
        let connection = try ProgramConnection(path: path, synchronous: .normal)
        let tables = try connection.texts(
            """
            SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'clinicsync_*'
            AND name NOT IN ('clinicsync_guard', 'clinicsync_log') ORDER BY name
            """
        )
        var size = try SizeBenchmark.pages(connection)
        var parts: [Part] = []
        for table in tables {
            try connection.execute("DELETE FROM \(table); VACUUM")
            let rest = try SizeBenchmark.pages(connection)
            if rest < size { parts.append(Part(table: table, megabytes: Double(size - rest) / 1_000_000)) }
            size = rest
        }
        return parts.sorted { $0.megabytes > $1.megabytes }
    }

    private static func pages(_ connection: ProgramConnection) throws -> Int {
        try connection.integer("PRAGMA page_count") * connection.integer("PRAGMA page_size")
    }
}
