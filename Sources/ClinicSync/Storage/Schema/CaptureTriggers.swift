import GRDB

/// The SQL of the triggers that notice what programs write to a replicated table.
///
/// The triggers fire in every process that writes to the file, so they are plain SQL. They mark keys in
/// `clinicsync_dirty`. Later the collector compares each marked row with its last known state to find out what changed.
/// The table's *last-values table* keeps the values of a deleted row until the collector has made its tombstone.
/// `docs/design/0001-capture.md` explains each trigger.
package enum CaptureTriggers {
    /// The beginning of the names of all our triggers.
    package static let prefix = "clinicsync_"

    /// Returns the names and texts of a table's triggers, as `sqlite_schema` keeps them.
    package static func statements(for table: TableDefinition) -> [(name: String, sql: String)] {
        var statements = [
            self.refusal(table),
            self.trigger("insert", "AFTER INSERT", table, body: [self.mark(table, "NEW")]),
            self.trigger("update", "AFTER UPDATE", table, body: [self.mark(table, "NEW")]),
            self.trigger(
                "key",
                "AFTER UPDATE OF \(SQLText.name(table.keyColumn))",
                table,
                when: "OLD.\(SQLText.name(table.keyColumn)) IS NOT NEW.\(SQLText.name(table.keyColumn))",
                body: [self.save(table), self.mark(table, "OLD")]
            ),
            self.trigger("delete", "AFTER DELETE", table, body: [self.save(table), self.mark(table, "OLD")]),
        ]
        let keys = self.keys(of: table)
        guard !keys.isEmpty else { return statements }
        let key = SQLText.name(table.keyColumn)
        let row = "\(SQLText.name(table.name)).\(key)"
        statements.append(self.victims(keys, "replace", "BEFORE INSERT", table, except: "\(row) IS NOT NEW.\(key)"))
        let update = self.uniqueUpdate(keys, of: table)
        statements.append(self.victims(keys, "replace_update", update, table, except: "\(row) IS NOT OLD.\(key)"))
        return statements
    }

    /// The UNIQUEs by which a REPLACE may delete rows: those of the clinic, and those of this PC's file alone.
    private static func keys(of table: TableDefinition) -> [UniqueKey] {
        table.uniqueKeys + table.ownIndexes.compactMap(\.key)
    }

    /// The name of the table that keeps the values of a table's deleted rows.
    ///
    /// This table has the replicated columns without declared types, so that values keep their bytes and storage class.
    /// A trigger adds a row each time a row is deleted or may be deleted. Of several rows with one key, the newest
    /// (largest `rowid`) counts, and only if the replicated table no longer has a row with this key.
    package static func lastTable(for table: TableDefinition) -> String {
        "clinicsync_last_\(table.name)"
    }

    /// Returns the statements that create a table's last-values table and its index.
    package static func lastTableStatements(for table: TableDefinition) -> [String] {
        let last = self.lastTable(for: table)
        let columns = SQLText.list(table.presentColumns.map(\.name))
        return [
            "CREATE TABLE \(SQLText.name(last)) (\(columns))",
            "CREATE INDEX \(SQLText.name(last + "_key")) ON \(SQLText.name(last)) (\(SQLText.name(table.keyColumn)))",
        ]
    }

    // MARK: - Parts

    /// The condition under which triggers fire: outside the node's own write transactions.
    ///
    /// If the guard's row is missing, the triggers capture all writes, so that no write is lost.
    private static let guardCondition = "NOT EXISTS (SELECT 1 FROM clinicsync_guard WHERE applying)"

    /// The present time in milliseconds since 1970, in SQL.
    static let now = "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)"

    /// The UPSERT clause for a key that is already marked.
    ///
    /// The conflict clause of the program's statement (OR REPLACE, OR IGNORE) overrides a conflict clause inside a
    /// trigger, but does not override an UPSERT.
    private static let again =
        "ON CONFLICT (tableId, pk) DO UPDATE SET writtenAt = excluded.writtenAt, n = n + 1"

    private static func trigger(
        _ suffix: String,
        _ event: String,
        _ table: TableDefinition,
        when condition: String? = nil,
        body: [String]
    ) -> (name: String, sql: String) {
        let name = "\(self.prefix)\(table.name)_\(suffix)"
        let conditions = [self.guardCondition, condition].compactMap(\.self).joined(separator: " AND ")
        let sql = """
            CREATE TRIGGER \(SQLText.name(name)) \(event) ON \(SQLText.name(table.name))
            WHEN \(conditions)
            BEGIN
            \(body.map { "    \($0);" }.joined(separator: "\n"))
            END
            """
        return (name, sql)
    }

    /// A trigger that never runs: SQLite refuses `DROP COLUMN` with the name of the first trigger that needs the column.
    ///
    /// The name says what a person can do.
    private static func refusal(_ table: TableDefinition) -> (name: String, sql: String) {
        let columns = SQLText.list(table.presentColumns.map(\.name), prefix: "OLD.")
        let name = "\(self.prefix)\(table.name)_is_replicated_to_drop_a_column_see_OPERATIONS_md"
        let sql = """
            CREATE TRIGGER \(SQLText.name(name)) AFTER UPDATE OF \(SQLText.name(table.keyColumn)) \
            ON \(SQLText.name(table.name))
            WHEN 0
            BEGIN
                SELECT \(columns);
            END
            """
        return (name, sql)
    }

    private static func mark(_ table: TableDefinition, _ row: String) -> String {
        """
        INSERT INTO clinicsync_dirty(tableId, pk, writtenAt, n)
            VALUES (\(table.number), \(row).\(SQLText.name(table.keyColumn)), \(self.now), 1)
            \(self.again)
        """
    }

    private static func save(_ table: TableDefinition) -> String {
        let columns = table.presentColumns.map(\.name)
        return """
            INSERT INTO \(SQLText.name(self.lastTable(for: table)))(\(SQLText.list(columns)))
                VALUES (\(SQLText.list(columns, prefix: "OLD.")))
            """
    }

    /// Saves and marks the rows that a REPLACE would delete, before it deletes them.
    ///
    /// REPLACE deletes conflicting rows without firing DELETE triggers, unless the program has switched on
    /// recursive_triggers. The trigger also marks a conflicting row that stays, because the statement fails, is ignored
    /// or is an upsert. This is harmless: the collector finds the row unchanged.
    private static func victims(
        _ keys: [UniqueKey],
        _ suffix: String,
        _ event: String,
        _ table: TableDefinition,
        except own: String
    ) -> (name: String, sql: String) {
        let source = SQLText.name(table.name)
        let columns = table.presentColumns.map(\.name)
        // SQLite looks up each part of the OR in its own unique index.
        let matches = keys.map { "(\(self.match($0, in: source)))" }.joined(separator: " OR ")
        let rows = "FROM \(source) WHERE (\(matches)) AND \(own)"
        let save = """
            INSERT INTO \(SQLText.name(self.lastTable(for: table)))(\(SQLText.list(columns)))
                SELECT \(SQLText.list(columns, prefix: source + ".")) \(rows)
            """
        let mark = """
            INSERT INTO clinicsync_dirty(tableId, pk, writtenAt, n)
                SELECT \(table.number), \(source).\(SQLText.name(table.keyColumn)), \(self.now), 1 \(rows)
                \(self.again)
            """
        return self.trigger(suffix, event, table, when: "EXISTS (SELECT 1 \(rows))", body: [save, mark])
    }

    /// The condition that a row of the table has the new row's values; NULL equals nothing, as in the index.
    private static func match(_ key: UniqueKey, in source: String) -> String {
        let parts = zip(key.columns, key.collations).map { column, collation in
            let name = SQLText.name(column)
            return "\(source).\(name) = NEW.\(name) COLLATE \(SQLText.name(collation))"
        }
        let rows = key.predicate.map { "(\($0))" }
        return (parts + [rows].compactMap(\.self)).joined(separator: " AND ")
    }

    /// The updates that can make a row conflict with another row: updates that name a unique column.
    ///
    /// An update of a column in a partial index's predicate can add a row to the index. So with a partial index every
    /// update counts.
    private static func uniqueUpdate(_ keys: [UniqueKey], of table: TableDefinition) -> String {
        guard keys.allSatisfy({ $0.predicate == nil }) else { return "BEFORE UPDATE" }
        let names = Set(keys.flatMap(\.columns))
        return "BEFORE UPDATE OF \(SQLText.list(table.columns.map(\.name).filter(names.contains)))"
    }
}
