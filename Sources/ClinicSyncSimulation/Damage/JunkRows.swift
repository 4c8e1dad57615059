import GRDB

/// Rows that a member writes by SQL into tables that nodes fill themselves, and that are replicated.
enum JunkRows {
    private static let tables = [
        "clinicsync_conflict", "clinicsync_grant", "clinicsync_node", "clinicsync_notice", "clinicsync_probe",
        "clinicsync_probe_answer", "clinicsync_provisional", "clinicsync_resolution", "clinicsync_revocation",
    ]

    /// Writes a row of extreme values, or changes a row that is there, as `program`'s random numbers decide.
    static func write(_ db: Database, _ program: SimulatedProgram) throws {
        let table = self.tables[program.below(self.tables.count)]
        let columns = try db.columns(in: table).map(\.name)
        func value(_ old: DatabaseValue) -> DatabaseValue {
            let kind = DamagedValue.all[program.below(DamagedValue.all.count)]
            return kind.value(from: old, choice: UInt64(program.below(1 << 30)))
        }
        if program.chance(40) {
            let column = columns[program.below(columns.count)]
            let rows = try Row.fetchAll(db, sql: "SELECT rowid, \(column) FROM \(table) LIMIT 5")
            guard !rows.isEmpty else { return }
            let row = rows[program.below(rows.count)]
            try db.execute(
                sql: "UPDATE OR IGNORE \(table) SET \(column) = ? WHERE rowid = ?",
                arguments: [value(row[1]), row[0] as Int64]
            )
        } else {
            let marks = columns.map { _ in "?" }.joined(separator: ", ")
            var values = columns.map { _ in value("junk".databaseValue) }
            // Else the row would rarely be one at all.
            values[0] = "junk-\(program.below(3))".databaseValue
            try db.execute(
                sql: "INSERT OR REPLACE INTO \(table)(\(columns.joined(separator: ", "))) VALUES(\(marks))",
                arguments: StatementArguments(values)
            )
        }
    }
}
