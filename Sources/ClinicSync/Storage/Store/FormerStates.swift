import ClinicSyncCore
import ClinicSyncModel

/// Writes the states that an earlier version of the program stored in the present form, some in each round of upkeep.
///
/// Both forms are read (``StoredState``), so nothing waits for this. It starts again from the beginning after a restart, because a
/// state in the present form is passed over.
struct FormerStates {
    /// The most states that one call looks at, and that its transaction writes: programs wait for it.
    static let rowsMax = 256

    /// The tables that are not finished.
    private var kinds = StateSums.Kind.allCases
    /// The row of the first of them that was looked at last.
    private var last: RowName?

    /// Looks at further states.
    ///
    /// - Parameters:
    ///   - rows: the rows of the file.
    ///   - transactions: runs the transaction.
    /// - Throws: what SQLite reports.
    mutating func rewrite(_ rows: RowStates, _ transactions: Transactions) throws {
        guard let kind = self.kinds.first else { return }
        let last = self.last
        let states = try transactions.read { try FormerStates.next(kind, after: last, on: $0) }
        let names = states.filter(\.isFormer).map(\.name)
        if !names.isEmpty {
            try transactions.write { transaction in
                for name in names { try FormerStates.rewrite(name, kind, rows.plans, in: transaction) }
                return .relaxed
            }
        }
        if states.count < FormerStates.rowsMax { self.kinds.removeFirst() }
        self.last = states.count < FormerStates.rowsMax ? nil : states.last?.name
    }

    /// The next states, and whether they are in a former form.
    private static func next(
        _ kind: StateSums.Kind,
        after last: RowName?,
        on connection: Connection
    ) throws -> [(name: RowName, isFormer: Bool)] {
        guard try connection.hasTable("clinicsync_\(kind.table.rawValue)") else { return [] }
        var states: [(name: RowName, isFormer: Bool)] = []
        try connection
            .query(
                """
                SELECT tableId, pk, substr(state, 1, 1) = x'02' FROM clinicsync_\(kind.table.rawValue)
                WHERE (tableId, pk) > (?1, ?2) ORDER BY tableId, pk LIMIT ?3
                """
            )
            .bind(1, last?.table ?? -1)
            .bind(2, last?.key ?? .null)
            .bind(3, FormerStates.rowsMax)
            .forEach { states.append((RowName(table: $0.int(0), key: $0.ref(1).value), $0.int(2) == 1)) }
        return states
    }

    /// Writes one state again; one that is damaged stays for the repair.
    private static func rewrite(
        _ name: RowName,
        _ kind: StateSums.Kind,
        _ plans: TablePlans,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard let plan = plans[name.table] else { return }
        let table = "clinicsync_\(kind.table.rawValue)"
        let state = try transaction.connection
            .query("SELECT state FROM \(table) WHERE tableId = ?1 AND pk = ?2")
            .bind(1, name.table)
            .bind(2, name.key)
            .first { row -> [UInt8]? in
                do {
                    return try ValueRef.with(name.key) {
                        StoredState.encode(try StoredState.decode(row.blob(0), key: $0, plan: plan))
                    }
                } catch is MalformedRecord {
                    return nil
                }
            }
        guard let state = state ?? nil else { return }
        try transaction.statement("UPDATE \(table) SET state = ?3 WHERE tableId = ?1 AND pk = ?2")
            .bind(1, name.table)
            .bind(2, name.key)
            .bind(3, blob: state)
            .run()
    }
}
