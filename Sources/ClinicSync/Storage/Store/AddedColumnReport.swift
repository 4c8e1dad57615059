import ClinicSyncModel

/// Says which columns that programs added are not in the files of all PCs.
struct AddedColumnReport {
    let plans: TablePlans
    let connection: Connection

    /// A PC of the clinic.
    private struct Member {
        var name: String
        var columns: AddedColumns
    }

    /// A column of a table.
    struct Column: Hashable {
        var table: String
        var name: String
    }

    /// A column that some PCs have and others lack.
    struct Entry {
        var column: Column
        /// The rows whose values wait in this file.
        var rows: Int
        /// A sentence for people; it names PCs.
        var reason: String
    }

    /// At most so many columns are reported.
    private static let columnsMax = 100

    /// The columns that some PCs have and others lack.
    ///
    /// - Throws: what SQLite reports.
    func entries() throws -> [Entry] {
        let members = try self.members()
        var found: [Entry] = []
        var seen: Set<Column> = []
        for member in members {
            for (table, columns) in member.columns.tables.sorted(by: { $0.key < $1.key }) {
                for name in columns.keys.sorted() where seen.insert(Column(table: table, name: name)).inserted {
                    guard found.count < Self.columnsMax,
                        let entry = try self.entry(Column(table: table, name: name), members)
                    else { continue }
                    found.append(entry)
                }
            }
        }
        return found
    }

    /// Whether a node announces one of the unknown columns that `details` name.
    ///
    /// - Throws: what SQLite reports.
    func announcesAny(of details: [UnreadDetail]) throws -> Bool {
        let members = try self.members()
        return details.contains { detail in
            guard let plan = self.plans.plan(calledElsewhere: detail.table) else { return false }
            return detail.columns.contains { column in
                plan.isUnknown(column)
                    && members.contains { $0.columns.tables[plan.definition.name]?[column] != nil }
            }
        }
    }

    private func entry(_ column: Column, _ members: [Member]) throws -> Entry? {
        func has(_ member: Member) -> Bool { member.columns.tables[column.table]?[column.name] != nil }
        guard let plan = self.plans[column.table], plan.definition.isClinical else { return nil }
        let (holders, lacking) = (members.filter(has), members.filter { !has($0) })
        guard !lacking.isEmpty else { return nil }
        let own = plan.definition.column(column.name)
        let rows = try own.map { $0.isAside ? try self.count(plan, slot: $0.slot) : 0 } ?? 0
        let reason =
            "the column \(column.name) is in the files of \(Self.names(holders)) and not of \(Self.names(lacking)): "
            + "its values wait there until a program adds it"
        return Entry(column: column, rows: rows, reason: reason)
    }

    private func count(_ plan: TablePlan, slot: Int) throws -> Int {
        try self.connection
            .query(
                "SELECT count(*) FROM clinicsync_aside WHERE tableId = ?1 AND slot = ?2 AND pk <> 0 AND value IS NOT NULL"
            )
            .bind(1, plan.definition.number)
            .bind(2, slot)
            .first { $0.int(0) } ?? 0
    }

    private static func names(_ members: [Member]) -> String {
        members.map { $0.name.isEmpty ? "a PC without a name" : $0.name }.joined(separator: ", ")
    }

    /// The members that are not revoked, in the order of their ids.
    private func members() throws -> [Member] {
        guard self.plans["clinicsync_node"]?.slot(of: "columns") != nil else { return [] }
        var members: [Member] = []
        try self.connection
            .query(
                """
                SELECT name, columns FROM clinicsync_node
                WHERE id NOT IN (SELECT node FROM clinicsync_revocation) ORDER BY id
                """
            )
            .forEach { row in
                let columns = row.isNull(1) ? AddedColumns() : AddedColumns(text: row.string(1))
                members.append(Member(name: row.string(0), columns: columns))
            }
        return members
    }
}
