import ClinicSyncModel
import Foundation
import GRDB

/// The columns of one table that only other nodes' files have: their values wait in `clinicsync_aside`.
struct AsideColumns {
    /// A column with its slot and its default.
    struct Column {
        let name: String
        let slot: Int
        let defaultValue: SQLiteValue
        /// Whether a program dropped the column, and this is the first look since then.
        var isVanished = false
    }

    /// So many slots are left to columns that this PC's own programs add, whatever other nodes announce.
    private static let ownColumnsMin = 16

    private let db: Database
    private let ddl: TableDDL
    private let number: Int

    /// Looks at the table with this number.
    init(_ ddl: TableDDL, number: Int, in db: Database) {
        self.db = db
        self.ddl = ddl
        self.number = number
    }

    /// The names of announced columns that a table is to take up.
    ///
    /// A column that this file had, and that was dropped here, is not taken up again.
    static func new(
        _ announced: [String: SQLiteValue],
        ddl: TableDDL,
        recorded: [String],
        history: SchemaHistory
    ) -> [String] {
        let known = Set((ddl.columns.map(\.name) + ddl.generatedColumns + recorded).map { $0.lowercased() })
            .union(history.dropped(from: ddl.name))
        let names = announced.keys.sorted().filter {
            !$0.isEmpty && !known.contains($0.lowercased()) && $0.utf8.count <= TableDefinition.nameBytesMax
        }
        let present = Set(ddl.columns.map(\.name)).union(recorded).count
        return Array(names.prefix(max(0, TableDefinition.columnsMax - AsideColumns.ownColumnsMin - present)))
    }

    /// The names of columns that the table had at an earlier look, and that it has no more.
    ///
    /// Columns that migrations dropped or renamed by `ALTER TABLE`, and columns that stand aside, are none of them.
    func missing(slots: [String], history: SchemaHistory) throws -> [String] {
        let present = Set((self.ddl.columns.map(\.name) + self.ddl.generatedColumns).map { $0.lowercased() })
        let former = Set(history.formerNames(ofColumnsOf: self.ddl.name).keys).union(
            history.dropped(from: self.ddl.name)
        )
        let missing = slots.enumerated().filter { _, name in
            !present.contains(name.lowercased()) && !former.contains(name.lowercased())
        }
        guard !missing.isEmpty else { return [] }
        let known = try Int.fetchSet(
            self.db,
            sql: "SELECT slot FROM clinicsync_aside WHERE tableId = ? AND pk = 0",
            arguments: [self.number]
        )
        return missing.filter { !known.contains($0.offset) }.map(\.element)
    }

    /// Makes room for the values of columns that are taken up.
    func add(_ columns: [Column]) throws {
        for column in columns {
            try self.db.execute(
                sql:
                    "INSERT INTO clinicsync_aside (tableId, pk, slot, value) VALUES (?, 0, ?, ?) ON CONFLICT DO NOTHING",
                arguments: [self.number, column.slot, column.defaultValue.databaseValue]
            )
        }
    }

    /// The columns that stand aside, and the slots of those of which the table has some values and others still stand aside.
    ///
    /// - Parameter slots: the names of the table's columns by slot.
    /// - Returns: The columns; and the slots whose column is in the table now.
    /// - Throws: what SQLite reports.
    func settle(slots: [String]) throws -> (aside: [Column], fresh: Set<Int>) {
        var aside: [Column] = []
        var fresh: Set<Int> = []
        let rows = try Row.fetchAll(
            self.db,
            sql: "SELECT slot, value FROM clinicsync_aside WHERE tableId = ? AND pk = 0",
            arguments: [self.number]
        )
        for row in rows {
            guard let slot = Int.fromDatabaseValue(row["slot"]), slots.indices.contains(slot) else { continue }
            if self.ddl.columns.contains(where: { $0.name == slots[slot] }) {
                if try !self.move(slots[slot], slot) { fresh.insert(slot) }
            } else {
                aside.append(Column(name: slots[slot], slot: slot, defaultValue: SQLiteValue(row["value"])))
            }
        }
        return (aside, fresh)
    }

    /// Writes the values that stood aside into the table, which has the column now.
    ///
    /// A value that a program has written there already stays: the collector makes an edit of it, by somebody who had not read
    /// the one that stands aside.
    ///
    /// - Returns: Whether no value stands aside any more.
    private func move(_ column: String, _ slot: Int) throws -> Bool {
        guard let key = self.ddl.key.first?.column else { return true }
        let table = SQLText.name(self.ddl.name)
        let place =
            "FROM clinicsync_aside WHERE tableId = :table AND slot = :slot AND pk = \(table).\(SQLText.name(key))"
        let arguments: StatementArguments = ["table": self.number, "slot": slot]
        // What a constraint of the new column refuses stays aside, and counts as replaced by what the table shows.
        try self.db.execute(
            sql: """
                UPDATE OR IGNORE \(table) SET \(SQLText.name(column)) = (SELECT value \(place))
                WHERE \(SQLText.name(column)) IS :default AND EXISTS (SELECT 1 \(place))
                """,
            arguments: arguments + ["default": (self.ddl.defaults[column] ?? .null).databaseValue]
        )
        // The column's type may convert a value. The row keeps the value while the table shows what became of it.
        let name = "\(table).\(SQLText.name(column))"
        try self.db.execute(
            sql: """
                UPDATE clinicsync_aside SET shown = (
                    SELECT \(name) FROM \(table) WHERE \(SQLText.name(key)) = clinicsync_aside.pk
                    AND \(name) IS clinicsync_aside.value
                    AND (typeof(\(name)) <> typeof(clinicsync_aside.value) OR +\(name) IS NOT clinicsync_aside.value)
                )
                WHERE tableId = :table AND slot = :slot AND pk <> 0
                """,
            arguments: arguments
        )
        try self.db.execute(
            sql: """
                DELETE FROM clinicsync_aside WHERE tableId = :table AND slot = :slot AND pk <> 0 AND shown IS NULL AND (
                    value IS (SELECT value FROM clinicsync_aside WHERE tableId = :table AND slot = :slot AND pk = 0)
                    OR NOT EXISTS (
                        SELECT 1 FROM \(table) WHERE \(SQLText.name(key)) = clinicsync_aside.pk
                        AND \(SQLText.name(column)) IS NOT clinicsync_aside.value
                    )
                )
                """,
            arguments: arguments
        )
        try self.db.execute(
            sql: """
                INSERT INTO clinicsync_dirty (tableId, pk, writtenAt, n)
                SELECT tableId, pk, \(CaptureTriggers.now), 1 FROM clinicsync_aside
                WHERE tableId = :table AND slot = :slot AND pk <> 0 AND shown IS NULL
                ON CONFLICT (tableId, pk) DO UPDATE SET n = n + 1
                """,
            arguments: arguments
        )
        try self.db.execute(
            sql: """
                DELETE FROM clinicsync_aside WHERE tableId = :table AND slot = :slot AND shown IS NULL AND NOT EXISTS (
                    SELECT 1 FROM clinicsync_aside
                    WHERE tableId = :table AND slot = :slot AND pk <> 0 AND shown IS NULL
                )
                """,
            arguments: arguments
        )
        return self.db.changesCount > 0
    }
}

extension SQLiteValue {
    /// The value as GRDB has it.
    fileprivate var databaseValue: DatabaseValue {
        switch self {
        case .null: .null
        case .integer(let number): number.databaseValue
        case .real(let bits): Double(bitPattern: bits).databaseValue
        case .text(let bytes): String(decoding: bytes, as: UTF8.self).databaseValue
        case .blob(let bytes): Data(bytes).databaseValue
        }
    }
}
