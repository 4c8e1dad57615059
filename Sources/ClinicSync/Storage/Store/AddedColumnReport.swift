import ClinicSyncModel

/// Says which columns that programs added or dropped are not in the files of all PCs, and which tables other PCs lack.
struct AddedColumnReport {
    let plans: TablePlans
    let connection: Connection

    /// A PC of the clinic.
    private struct Member {
        var name: String
        var columns: AddedColumns
        /// The columns that programs dropped from its file, by table; an empty list stands for the table.
        var lacks: [String: [String]]
    }

    /// A column of a table; the table itself when the name is empty.
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
        for column in Set(members.flatMap(Self.lacking)).subtracting(seen).sorted(by: Self.precedes) {
            guard found.count < Self.columnsMax, let entry = try self.lacked(column, members) else { continue }
            found.append(entry)
        }
        return found
    }

    private static func precedes(_ first: Column, _ second: Column) -> Bool {
        (first.table, first.name) < (second.table, second.name)
    }

    private static func lacking(_ member: Member) -> [Column] {
        member.lacks.flatMap { table, columns in
            columns.isEmpty ? [Column(table: table, name: "")] : columns.map { Column(table: table, name: $0) }
        }
    }

    /// What some PCs lack because programs dropped or renamed it there.
    private func lacked(_ column: Column, _ members: [Member]) throws -> Entry? {
        // A table that this file lacks itself has a note that says more.
        guard let plan = self.plans[column.table], plan.definition.isClinical else { return nil }
        let names = Self.names(members.filter { Self.lacking($0).contains(column) })
        guard !column.name.isEmpty else {
            let reason =
                "the table is not in the file of \(names), or does not fit there: its rows wait there until there is a table "
                + "\(column.table) again"
            return Entry(column: column, rows: 0, reason: reason)
        }
        guard let own = plan.definition.column(column.name) else { return nil }
        let reason =
            "the column \(column.name) was dropped or renamed in the file of \(names): its values wait there until a program "
            + "adds a column \(column.name)"
        return Entry(column: column, rows: own.isAside ? try self.count(plan, slot: own.slot) : 0, reason: reason)
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

    /// Whether the clinic has another default for one of the columns of `own`.
    ///
    /// - Throws: what SQLite reports.
    func hasOtherDefaults(than own: AddedColumns) throws -> Bool {
        var announced = AddedColumns()
        try self.connection.query("SELECT columns FROM clinicsync_node WHERE typeof(columns) = 'text' ORDER BY id")
            .forEach { announced.add(AddedColumns(text: $0.string(0))) }
        return own.tables.contains { table, columns in
            columns.contains { name, value in announced.tables[table]?[name].map { $0 != value } ?? false }
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
                """
                SELECT count(*) FROM clinicsync_aside
                WHERE tableId = ?1 AND slot = ?2 AND pk <> 0 AND value IS NOT NULL AND shown IS NULL
                """
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
        guard let plan = self.plans["clinicsync_node"], plan.slot(of: "columns") != nil else { return [] }
        let lacks = plan.slot(of: "lacks") == nil ? "NULL" : "lacks"
        var members: [Member] = []
        try self.connection
            .query(
                """
                SELECT name, columns, \(lacks) FROM clinicsync_node
                WHERE id NOT IN (SELECT node FROM clinicsync_revocation) ORDER BY id
                """
            )
            .forEach { row in
                let columns = row.isNull(1) ? AddedColumns() : AddedColumns(text: row.string(1))
                let lacks = row.isNull(2) ? [:] : AddedColumns.lacking(text: row.string(2))
                members.append(Member(name: row.string(0), columns: columns, lacks: lacks))
            }
        return members
    }
}
