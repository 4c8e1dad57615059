import GRDB

/// How many rows of a node's database a backup shows otherwise or not at all.
package struct FileComparison {
    /// The rows of one table.
    package struct Table: Sendable, Hashable {
        /// The table.
        package var name: String
        /// Rows that were added since the backup.
        package var added = 0
        /// Rows that were changed since.
        package var changed = 0
        /// Rows that were deleted since.
        package var deleted = 0
    }

    /// The node's database.
    package let database: String
    /// The backup.
    package let backup: String
    /// The tables whose rows a backup leaves out.
    package let exclusions: BackupExclusions

    /// Names the files.
    package init(database: String, backup: String, exclusions: BackupExclusions) {
        self.database = database
        self.backup = backup
        self.exclusions = exclusions
    }

    /// Counts the rows of the clinic's tables that differ, by the nodes' hashes of rows.
    ///
    /// What programs wrote and no node has collected is not among them.
    ///
    /// - Returns: The tables with differences, in the order of their names.
    /// - Throws: ``StoreError``.
    package func tables() throws -> [Table] {
        try DatabaseCopy.reading(self.database) { db in
            try db.execute(sql: "ATTACH DATABASE ? AS backup", arguments: [self.backup])
            let newer = try self.rows(of: "main", comparedWith: "backup", db)
            let older = try self.rows(of: "backup", comparedWith: "main", db)
            var tables: [String: Table] = [:]
            for row in newer {
                tables[row.name, default: Table(name: row.name)].added = row.missing
                tables[row.name, default: Table(name: row.name)].changed = row.other
            }
            for row in older where row.missing > 0 {
                tables[row.name, default: Table(name: row.name)].deleted = row.missing
            }
            return tables.values.filter { $0.added + $0.changed + $0.deleted > 0 && !self.isExcluded($0.name) }
                .sorted { $0.name < $1.name }
        }
    }

    private func isExcluded(_ table: String) -> Bool {
        table.hasPrefix("clinicsync_") || self.exclusions.replicated.contains(table)
    }

    private func rows(of one: String, comparedWith other: String, _ db: Database) throws -> [(
        name: String, missing: Int, other: Int
    )] {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT t.name, count(*) FILTER (WHERE o.hash IS NULL), count(*) FILTER (WHERE o.hash <> r.hash)
                FROM \(one).clinicsync_row r
                JOIN \(one).clinicsync_table t ON t.id = r.tableId
                LEFT JOIN \(other).clinicsync_table ot ON ot.name = t.name
                LEFT JOIN \(other).clinicsync_row o ON o.tableId = ot.id AND o.pk = r.pk
                GROUP BY t.name
                """
        )
        return rows.map { ($0[0], $0[1], $0[2]) }
    }
}
