import ClinicSyncModel

/// Takes the secondary indexes off an empty table while a large state fills it, and builds them when the table is full.
///
/// The rows of a state come in the order of their keys. An index has another order: each row changes a page somewhere in it, and
/// once the index is larger than the page cache this takes more time than all the rest. Building an index sorts its entries once.
///
/// All of it happens in the transaction that shows the state, with the statements that made the indexes: no program sees the table
/// without them, and a failure leaves everything as it was. UNIQUE indexes stay, because merging relies on them. So do indexes
/// with a WHERE, on expressions, or in an order that a program defines, which this node might fail to build, and those that find
/// rows of the same table by a reference, which merging may look for.
struct DeferredIndexes {
    /// Whether the state is large enough for it.
    private let isWorthwhile: Bool
    /// The number of the table that is being filled.
    private var table: Int?
    /// What makes the indexes again that were taken off that table.
    private var statements: [String] = []

    /// Does nothing for a state that is not `isLarge`.
    init(isLarge: Bool) { self.isWorthwhile = isLarge }

    /// Rows of a table follow: takes off the table's indexes if the table is empty, and builds those of the table before.
    ///
    /// - Throws: what SQLite reports.
    mutating func enter(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws {
        guard self.isWorthwhile, self.table != plan.definition.number else { return }
        try self.build(in: transaction)
        self.table = plan.definition.number
        let name = SchemaCopy.quoted(plan.definition.name)
        let isEmpty = try transaction.connection.query("SELECT NOT EXISTS (SELECT 1 FROM \(name))").first { $0.int(0) }
        guard isEmpty == 1 else { return }
        for index in try DeferredIndexes.removable(plan, on: transaction.connection) {
            try transaction.execute("DROP INDEX \(SchemaCopy.quoted(index.name))")
            self.statements.append(index.sql)
        }
    }

    /// Builds the indexes that were taken off the last table; call it before anything but rows of a state is merged.
    ///
    /// - Throws: what SQLite reports.
    mutating func build(in transaction: borrowing WriteTransaction) throws {
        for statement in self.statements { try transaction.execute(statement) }
        (self.table, self.statements) = (nil, [])
    }

    private static func removable(
        _ plan: TablePlan,
        on connection: Connection
    ) throws -> [(name: String, sql: String)] {
        let own = plan.references.filter { $0.parentTable == plan.definition.number }
            .compactMap { plan.definition.column(slot: $0.slot)?.name.lowercased() }
        var indexes: [(name: String, sql: String)] = []
        try connection
            .query(
                """
                SELECT m.name, m.sql, (SELECT lower(name) FROM pragma_index_xinfo(i.name) WHERE seqno = 0)
                FROM pragma_index_list(?1) AS i JOIN sqlite_schema AS m ON m.type = 'index' AND m.name = i.name
                WHERE i.origin = 'c' AND NOT i."unique" AND NOT i.partial AND m.sql IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM pragma_index_xinfo(i.name)
                    WHERE key AND (cid < 0 OR upper(coll) NOT IN ('BINARY', 'NOCASE', 'RTRIM'))
                )
                ORDER BY m.name
                """
            )
            .bind(1, text: plan.definition.name)
            .forEach { row in
                if !own.contains(row.string(2)) { indexes.append((row.string(0), row.string(1))) }
            }
        return indexes
    }
}
