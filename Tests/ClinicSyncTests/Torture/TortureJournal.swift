import ClinicSyncModel
import ClinicSyncStorage
import GRDB

/// An entry of the conflict journal in the form that the torture suite compares.
struct JournalLine: Hashable, Comparable, CustomStringConvertible {
    var kind: String
    var table: String
    var key: String
    var column: String?
    var value: String?
    var related: String?

    /// `kind table/key/column=value`, without absent parts.
    var description: String {
        var text = "\(self.kind) \(self.table)/\(self.key)"
        if let column { text += "/\(column)" }
        if let value { text += "=\(value)" }
        return text
    }

    static func < (left: JournalLine, right: JournalLine) -> Bool { left.description < right.description }
}

extension TestStore {
    /// The journal's entries about the clinic's tables, except entries whose value the table shows.
    func journalLines() throws -> [JournalLine] {
        // The table does not say what a counter was set to: the reader does.
        let counters = try self.reader.journal(openOnly: false).filter { entry in
            entry.kind == .value && TortureSchema.counters.contains("\(entry.row.table).\(entry.column ?? "")")
        }
        let counted = try counters.flatMap { entry in
            var values = [entry.other.value]
            if entry.count > 1, case .found(let whole) = try self.reader.journalEntry(entry.id) {
                values = whole.values.map(\.written.value)
            }
            return values.map { value in
                JournalLine(
                    kind: "value",
                    table: entry.row.table,
                    key: entry.row.key.displayText,
                    column: entry.column,
                    value: value.displayText
                )
            }
        }
        return try self.queue.read { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT kind, tableName, recordId, columnName, value, relatedId FROM clinicsync_conflict
                    WHERE tableName NOT LIKE 'clinicsync%'
                    """
            )
            var lines = Set(counted)
            for row in rows where !Self.isOfCounter(row) {
                let line = JournalLine(
                    kind: row["kind"],
                    table: row["tableName"],
                    key: Self.text(row["recordId"]),
                    column: row["columnName"],
                    value: (row["value"] as DatabaseValue).isNull ? nil : Self.text(row["value"]),
                    related: row["relatedId"]
                )
                if line.kind == "value", try Self.isShown(row, db) { continue }
                lines.insert(line)
            }
            return lines.sorted()
        }
    }

    /// Whether an entry is for a value of a counter.
    private static func isOfCounter(_ entry: Row) -> Bool {
        let kind: String = entry["kind"]
        let table: String = entry["tableName"]
        let column: String? = entry["columnName"]
        return kind == "value" && TortureSchema.counters.contains("\(table).\(column ?? "")")
    }

    /// Whether the entry's row shows the entry's value.
    private static func isShown(_ entry: Row, _ db: Database) throws -> Bool {
        let table: String = entry["tableName"]
        guard let column = entry["columnName"] as String?, let key = try db.primaryKey(table).columns.first else {
            return false
        }
        return try Bool.fetchOne(
            db,
            sql: "SELECT \"\(column)\" IS ? FROM \"\(table)\" WHERE \"\(key)\" = ?",
            arguments: [entry["value"] as DatabaseValue, entry["recordId"] as DatabaseValue]
        ) ?? false
    }
}
