import ClinicSyncStorage
public import Foundation
package import GRDB
import NIOConcurrencyHelpers

/// A node's SQLite file as a clinic's program sees it: a plain connection of its own, with SQLite's defaults.
///
/// It stays open while the node is stopped, killed and restarted. Foreign keys are not enforced and triggers do not
/// recurse, as in a program that sets no pragma. `julianday('now')` follows the node's skewed clock, because capture
/// asks it for the time of a write.
public final class TestDatabase: Sendable {
    /// The file.
    public let url: URL
    private let queue: DatabaseQueue

    /// The file's path.
    public var path: String { self.url.path }

    /// Opens a node's file, which must exist.
    ///
    /// - Throws: SQLite's error.
    public convenience init(url: URL) throws { try self.init(url: url, skewMilliseconds: { 0 }) }

    init(url: URL, skewMilliseconds: @escaping @Sendable () -> Int64) throws {
        self.url = url
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        configuration.busyMode = .timeout(30)
        configuration.prepareDatabase { db in
            db.add(function: TestDatabase.julianDay(skewMilliseconds))
        }
        self.queue = try DatabaseQueue(path: url.path, configuration: configuration)
    }

    /// Runs one or more statements, outside of any transaction but those they begin themselves.
    ///
    /// - Parameters:
    ///   - sql: the statements.
    ///   - arguments: values for `?`: `nil`, `Int`, `Double`, `String`, `Data`, `Bool`.
    /// - Throws: SQLite's error.
    public func sql(_ sql: String, _ arguments: (any Sendable)?...) throws {
        let values = try TestDatabase.values(arguments)
        try self.queue.writeWithoutTransaction { try $0.execute(sql: sql, arguments: values) }
    }

    /// Runs statements with values for named parameters in one transaction, once for each row of values.
    ///
    /// - Throws: SQLite's error; then nothing was written.
    public func transaction(_ sql: String, rows: some Sequence<[(any Sendable)?]>) throws {
        try self.queue.inTransaction(.immediate) { db in
            let statement = try db.makeStatement(sql: sql)
            for row in rows { try statement.execute(arguments: try TestDatabase.values(row)) }
            return .commit
        }
    }

    /// The first column of the first row as text; `nil` for NULL and when there is no row.
    ///
    /// - Throws: SQLite's error.
    public func value(_ sql: String, _ arguments: (any Sendable)?...) throws -> String? {
        let values = try TestDatabase.values(arguments)
        return try self.queue.read { try String.fetchOne($0, sql: sql, arguments: values) }
    }

    /// The first column of the first row as an integer; `nil` for NULL and when there is no row.
    ///
    /// - Throws: SQLite's error.
    public func integer(_ sql: String, _ arguments: (any Sendable)?...) throws -> Int? {
        let values = try TestDatabase.values(arguments)
        return try self.queue.read { try Int.fetchOne($0, sql: sql, arguments: values) }
    }

    /// The first column of all rows as text.
    ///
    /// - Throws: SQLite's error.
    public func column(_ sql: String, _ arguments: (any Sendable)?...) throws -> [String?] {
        let values = try TestDatabase.values(arguments)
        return try self.queue.read { try String?.fetchAll($0, sql: sql, arguments: values) }
    }

    /// Every row of the replicated tables as text: storage class and SQL literal of each value, in the order of keys.
    ///
    /// - Throws: SQLite's error.
    public func dump() throws -> [String] {
        try self.queue.read { db in
            var lines: [String] = []
            for table in try String.fetchAll(db, sql: "SELECT name FROM clinicsync_table ORDER BY name") {
                let columns = try db.columns(in: table).map(\.name).sorted()
                    .map { "typeof(\"\($0)\")||' '||quote(\"\($0)\")||' '||length(CAST(\"\($0)\" AS BLOB))" }
                    .map { "coalesce(\($0), 'null')" }
                    .joined(separator: "||'|'||")
                let sql = "SELECT '\(table): ' || \(columns) FROM \"\(table)\" ORDER BY 1"
                lines += try String.fetchAll(db, sql: sql)
            }
            return lines
        }
    }

    // MARK: - For the kit

    /// Rows that may have changed and were not collected, as `table/key`.
    package func marks() throws -> [String] {
        try self.queue.read { db in
            let sql = """
                SELECT coalesce(t.name, d.tableId) || '/' || quote(d.pk)
                FROM clinicsync_dirty d LEFT JOIN clinicsync_table t ON t.id = d.tableId LIMIT 10
                """
            return try String.fetchAll(db, sql: sql)
        }
    }

    /// The number of the last applied batch of each origin, as the file has it.
    package func vector() throws -> [String: Int64] {
        try self.queue.read { db in
            let sql = """
                SELECT lower(hex(node)) || ':' || incarnation AS origin, sequence FROM clinicsync_origin
                WHERE sequence > 0
                """
            return try Row.fetchAll(db, sql: sql).reduce(into: [:]) { $0[$1["origin"]] = $1["sequence"] }
        }
    }

    /// Reads in one snapshot.
    package func read<Result>(_ body: (Database) throws -> Result) throws -> Result { try self.queue.read(body) }

    /// Writes in one transaction.
    package func write<Result>(_ body: (Database) throws -> Result) throws -> Result { try self.queue.write(body) }

    func close() throws { try self.queue.close() }

    private static func values(_ arguments: [(any Sendable)?]) throws -> StatementArguments {
        guard let values = StatementArguments(arguments.map { $0 as Any }) else {
            throw TestClinicError("SQL values are nil, Int, Double, String, Data or Bool.")
        }
        return values
    }

    private static func julianDay(_ skewMilliseconds: @escaping @Sendable () -> Int64) -> DatabaseFunction {
        DatabaseFunction("julianday", argumentCount: 1) { values in
            guard values[0].storage.value as? String == "now" else {
                throw TestClinicError("A test's connection knows julianday('now') only.")
            }
            let seconds = Date().timeIntervalSince1970 + Double(skewMilliseconds()) / 1_000
            return seconds / 86_400 + 2_440_587.5
        }
    }
}
