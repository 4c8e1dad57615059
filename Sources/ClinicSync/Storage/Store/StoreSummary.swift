import ClinicSyncCore
package import ClinicSyncModel

/// What people want to know about a store beside its digests.
package struct StoreSummary: Sendable, Hashable {
    /// Rows of a table set aside for one reason.
    package struct Waiting: Sendable, Hashable {
        /// The table.
        package var table: String
        /// How many rows; 0 when the whole table is missing.
        package var rows: Int
        /// Why; names columns, never values.
        package var reason: String
    }

    /// Rows set aside, at most 100 groups.
    package var waiting: [Waiting]
    /// The number of open entries of the conflict journal.
    package var openConflicts: Int
    /// The nodes that have lapsed by a host's decision, members or not, in ascending order.
    package var lapsed: [NodeID]
}

extension StoreSummary {
    /// Reads the summary of a store; `journal` reads the states of rows that the conflict journal names.
    static func read(_ plans: TablePlans, journal: RowStateLoader, on connection: Connection) throws -> StoreSummary {
        var summary = StoreSummary(waiting: [], openConflicts: 0, lapsed: try Lapses.all(on: connection).keys.sorted())
        try connection
            .query(
                """
                SELECT tableId, reason, count(*), min(pk), min(detail) FROM clinicsync_waiting
                LEFT JOIN clinicsync_unread USING (pk) GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 100
                """
            )
            .forEach { row in
                var name = plans[row.int(0)]?.definition.name
                if name == nil { name = StoreNote(key: row.ref(3).value)?.table }
                if name == nil, !row.isNull(4) {
                    name = try OwnDamage.reading(.unread) { try UnreadDetail(row.blob(4)).table }
                }
                // What is about the nodes' own tables is nothing for people, but values that only this PC's journal has.
                if let name, name.hasPrefix("clinicsync_"), name != Conflict.table { return }
                var rows = row.int(2)
                if case .missing = StoreNote(key: row.ref(3).value) { rows = 0 }
                let entry = StoreSummary.Waiting(table: name ?? "all", rows: rows, reason: row.string(1))
                summary.waiting.append(entry)
            }
        summary.waiting += try AddedColumnReport(plans: plans, connection: connection).entries().map {
            StoreSummary.Waiting(table: $0.column.table, rows: $0.rows, reason: $0.reason)
        }
        summary.openConflicts = try JournalReading(plans: plans, loader: journal).countOpen()
        return summary
    }
}
