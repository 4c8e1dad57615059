/// Runs programs' triggers for the rows that the node writes, when all that they write is local.
///
/// The triggers of the file are off on the node's connection (`docs/design/0002-own-writes.md`). What a trigger writes to a
/// replicated table arrives like any other row. What it writes to a local table, for example a full-text index, arrives from
/// nowhere. So the node's connection has a temporary copy of each such trigger. The copies of triggers on local tables run
/// for what the first copies write.
///
/// A trigger with `RAISE` is not copied, because it could keep an arriving row out of its table. When a copy fails, the row
/// is written without the copies, and the failure is counted (``WriteTransaction/run(_:)``).
final class ProgramTriggers: TransactionPart {
    private let transactions: Transactions
    /// `PRAGMA schema_version` of the schema that the copies were made from.
    private var schemaVersion: Int64?

    /// Copies triggers of the file of `transactions` from its next write transaction on.
    init(_ transactions: Transactions) { self.transactions = transactions }

    func memory() -> () -> Void {
        let saved = self.schemaVersion
        return { self.schemaVersion = saved }
    }

    /// Makes the copies again when the schema changed.
    func didBegin(_ transaction: borrowing WriteTransaction) throws {
        // A store in memory shares its connection with the programs, whose triggers are on.
        guard self.transactions.database.snapshots != nil else { return }
        let version = try Transactions.schemaVersion(on: transaction.connection)
        guard version != self.schemaVersion else { return }
        try transaction.run(try ProgramTriggers.local(on: transaction.connection))
        self.schemaVersion = version
    }

    // MARK: - Which triggers

    private struct Trigger {
        let name: String
        let table: String
        let sql: String
    }

    private static func local(on connection: Connection) throws -> [TriggerCopy] {
        var triggers: [Trigger] = []
        try connection
            .query("SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid")
            .forEach { row in
                let trigger = Trigger(name: row.string(0), table: row.string(1), sql: row.string(2))
                if !self.isOurs(trigger.name), self.copy(of: trigger) != nil { triggers.append(trigger) }
            }
        guard !triggers.isEmpty else { return [] }
        var items: [SchemaCopy.Item] = []
        try connection
            .query(
                """
                SELECT name, sql FROM sqlite_schema WHERE type IN ('table', 'view') AND sql IS NOT NULL
                ORDER BY type, rowid
                """
            )
            .forEach { items.append(SchemaCopy.Item(name: $0.string(0), sql: $0.string(1))) }
        var replicated: Set<String> = []
        try connection.query("SELECT name FROM clinicsync_table")
            .forEach { replicated.insert($0.string(0).lowercased()) }
        let copy = try SchemaCopy(of: items)
        return triggers.compactMap { trigger in
            let written = copy.tablesWritten(by: trigger.name, trigger.sql, on: trigger.table) ?? []
            let isLocal = written.allSatisfy { !replicated.contains($0) && !self.isOurs($0) }
            guard !written.isEmpty, isLocal, let sql = self.copy(of: trigger) else { return nil }
            let isReplicated = replicated.contains(trigger.table.lowercased())
            return TriggerCopy(sql: sql, replicatedTable: isReplicated ? trigger.table : nil)
        }
    }

    /// The statement that makes a temporary copy; `nil` for a trigger that must not run.
    private static func copy(of trigger: Trigger) -> String? {
        let prefix = "CREATE TRIGGER "
        // SQLite stores every trigger's text with this beginning.
        guard trigger.sql.hasPrefix(prefix), !SQLTokens.all(in: trigger.sql).contains(where: { $0.isKeyword("raise") })
        else { return nil }
        return "CREATE TEMP TRIGGER " + trigger.sql.dropFirst(prefix.count)
    }

    private static func isOurs(_ name: String) -> Bool { name.lowercased().hasPrefix("clinicsync_") }
}
