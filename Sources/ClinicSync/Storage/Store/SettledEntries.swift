import ClinicSyncCore
import ClinicSyncModel

/// Removes entries of the conflict journal that people settled long ago, with what they decided.
///
/// A host deletes them as a program would, so they go on every node. Open entries stay for ever: they are for people. An entry
/// that follows from a row's state stays as long as it follows, because it would come back at once.
/// See `docs/design/0025-pruning.md`.
struct SettledEntries {
    /// The most entries that one round of upkeep removes.
    static let entriesMax = 256
    /// The most settlements that one round looks at; it begins at a place that moves with the time.
    private static let examinedMax = 4_096

    let programRows: ProgramRows
    private var rows: RowStates { self.programRows.rows }

    /// The entries that can go.
    ///
    /// - Parameters:
    ///   - horizon: what every active member has; a decision that it does not cover stays.
    ///   - milliseconds: decisions of this time and later stay; corrected milliseconds since 1970.
    ///   - connection: the connection that reads.
    /// - Returns: The entries' ids, at most ``entriesMax``.
    /// - Throws: what SQLite reports.
    func old(coveredBy horizon: VersionVector, before milliseconds: Int64, on connection: Connection) throws
        -> [SQLiteValue]
    {
        let plans = self.rows.plans
        guard plans[Conflict.table] != nil, let plan = plans[Conflict.resolutions] else { return [] }
        var ids: [SQLiteValue] = []
        // A decision whose entry ended by itself goes as well.
        try connection
            .query(
                """
                SELECT r.id FROM clinicsync_resolution r LEFT JOIN clinicsync_conflict c ON c.id = r.id
                WHERE typeof(r.resolvedAt) = 'integer' AND r.resolvedAt < ?1
                AND (c.id IS NULL OR (c.kind = 'value' AND r.kept IN ('current', 'other')))
                ORDER BY r.id < ?3, r.id LIMIT ?2
                """
            )
            .bind(1, milliseconds)
            .bind(2, SettledEntries.examinedMax)
            .bind(3, text: String(UInt64(clamping: milliseconds / 10_000) % 16, radix: 16))
            .forEach { ids.append($0.ref(0).value) }
        return try ids.filter { try self.isCovered($0, plan, by: horizon, on: connection) }
            .prefix(SettledEntries.entriesMax).map { $0 }
    }

    private func isCovered(
        _ id: SQLiteValue,
        _ plan: TablePlan,
        by horizon: VersionVector,
        on connection: Connection
    ) throws -> Bool {
        guard let meta = try ValueRef.with(id, { try self.rows.table.meta(plan, key: $0, on: connection) }) else {
            return false
        }
        return try ([meta.birth] + meta.groups.map(\.version)).allSatisfy { version in
            horizon.covers(try self.rows.origins.global(version))
        }
    }

    /// Deletes entries and what was decided about them, for all nodes; the rows are marked.
    ///
    /// - Throws: what SQLite reports.
    func remove(_ ids: [SQLiteValue], in transaction: borrowing WriteTransaction) throws {
        for table in [Conflict.table, Conflict.resolutions] {
            guard let plan = self.rows.plans[table] else { continue }
            for id in ids { _ = try self.programRows.delete(plan, key: id, in: transaction) }
        }
    }
}
