import GRDB

/// Rows of every table of the clinic, and what three PCs do with them while one of them is away for half a year.
///
/// In each table PC A deletes, edits and adds rows, and so does the away PC C, some of them the same rows. For each reference A deletes
/// a row, and C adds another one that refers to it. For each UNIQUE column A and C add rows with one value. Both count a counter.
struct LongAbsenceRows {
    private let rows: ClinicRows

    /// Reads the tables of a node's file.
    init(_ db: Database) throws { self.rows = try ClinicRows(db) }

    /// What becomes of a row of each table.
    private enum Fate: String, CaseIterable {
        case kept, gone, both, edited, clash, mine
    }

    private func key(_ fate: Fate, _ table: String) -> String { "\(fate.rawValue) \(table)" }

    private func name(_ reference: ClinicRows.Reference) -> String { "\(reference.child).\(reference.column)" }

    private func insert(_ table: String, _ key: String, _ special: [String: String] = [:]) -> String {
        // An active session would be ended by the rule of one session.
        var special = special
        if table == "user_sessions" { special["isActive"] = "0" }
        var sql = self.rows.insert(table, key: key, special)
        if table == "user_sessions" { sql += " UPDATE user_sessions SET isActive = 0 WHERE id = '\(key)';" }
        return sql
    }

    private func update(_ table: String, _ key: String, _ column: Int, _ value: String) -> String {
        let columns = self.rows.plainColumns(table)
        guard column < columns.count else { return "" }
        return "UPDATE \(table) SET \"\(columns[column])\" = '\(value)' WHERE \"\(self.rows.key(table))\" = '\(key)';"
    }

    private func delete(_ table: String, _ key: String) -> String {
        "DELETE FROM \(table) WHERE \"\(self.rows.key(table))\" = '\(key)';"
    }

    private func forAll(_ body: (String) -> String) -> String { self.rows.tables.map(body).joined(separator: "\n") }

    // MARK: - Writing

    /// What is there when the PC leaves.
    var start: String {
        self.rows.shared + "\n"
            + self.forAll { table in
                Fate.allCases.map { self.insert(table, self.key($0, table)) }.joined(separator: "\n")
            }
            + self.rows.references.map { self.insert($0.parent, "parent \(self.name($0))") }.joined(separator: "\n")
    }

    /// What programs write in a month, in this order, each text on the PC of that number.
    func work(in month: Int) -> [(node: Int, sql: String)] {
        switch month {
        case 1:
            [
                (0, self.forAll { self.update($0, self.key(.edited, $0), 0, "A edited") }),
                (0, self.forAll { self.update($0, self.key(.clash, $0), 0, "A clash") }),
                (
                    2,
                    self.forAll { table in
                        [
                            self.update(table, self.key(.both, table), 0, "C both"),
                            self.update(table, self.key(.edited, table), 1, "C edited"),
                            self.delete(table, self.key(.mine, table)),
                            self.insert(table, "own \(table)"),
                        ]
                        .joined(separator: "\n")
                    }
                ),
            ]
        case 2:
            [
                (
                    1,
                    self.forAll { table in
                        [self.delete(table, self.key(.gone, table)), self.delete(table, self.key(.both, table))]
                            .joined(separator: "\n")
                    }
                )
            ]
        case 3: [(2, self.forAll { self.update($0, self.key(.clash, $0), 0, "C clash") })]
        case 4:
            [
                (0, self.forAll { self.insert($0, "new \($0)") }),
                (
                    0,
                    self.rows.references.map { self.delete($0.parent, "parent \(self.name($0))") }
                        .joined(separator: "\n")
                ),
                (0, self.count(2)),
            ]
        case 5: [(2, self.children + "\n" + self.count(3)), (2, self.claims("C")), (1, self.claims("B"))]
        case 6: [(0, self.forAll { self.update($0, self.key(.kept, $0), 1, "A late") })]
        default: []
        }
    }

    private func count(_ number: Int) -> String {
        """
        UPDATE clinic_services SET selectionCount = selectionCount + \(number)
        WHERE id = '\(self.key(.kept, "clinic_services"))';
        """
    }

    private var children: String {
        self.rows.references.map { reference in
            let name = self.name(reference)
            return self.insert(reference.child, "child \(name)", [reference.column: "'parent \(name)'"])
        }
        .joined(separator: "\n")
    }

    private func claims(_ pc: String) -> String {
        self.forAll { table in
            guard let unique = self.rows.uniqueColumn(table) else { return "" }
            return self.rows.insert(table, key: "claim \(pc) \(table)", [unique: "'2026-05-05'"])
        }
    }

    // MARK: - Checking

    /// What a node shows of a row, by column; `nil` when it does not show the row.
    private func shown(_ table: String, _ key: String, _ db: Database) throws -> Row? {
        try Row.fetchOne(db, sql: "SELECT * FROM \(table) WHERE \"\(self.rows.key(table))\" = ?", arguments: [key])
    }

    /// The kinds and the values in the journal about a row.
    private func journal(_ table: String, _ key: String, _ db: Database) throws -> (
        kinds: Set<String>, values: [String]
    ) {
        let entries = try Row.fetchAll(
            db,
            sql: "SELECT kind, value FROM clinicsync_conflict WHERE tableName = ? AND recordId = ?",
            arguments: [table, key]
        )
        let kinds = entries.compactMap { String.fromDatabaseValue($0[0]) }
        return (Set(kinds), entries.compactMap { String.fromDatabaseValue($0[1]) })
    }

    /// What is wrong on a node; `nil` when nothing is.
    func problem(on node: SimulatedNode) throws -> String? {
        try node.disk.read { db in
            for table in self.rows.tables {
                if let problem = try self.problem(table, db) { return "\(table): \(problem)" }
            }
            for reference in self.rows.references {
                if let problem = try self.problem(reference, db) { return "\(self.name(reference)): \(problem)" }
            }
            let service = try self.shown("clinic_services", self.key(.kept, "clinic_services"), db)
            let count = service.flatMap { Int.fromDatabaseValue($0["selectionCount"]) }
            return count == 5 ? nil : "counts \(count.map { "\($0)" } ?? "nothing"), not 5"
        }
    }

    private func problem(_ table: String, _ db: Database) throws -> String? {
        for key in [self.key(.kept, table), "own \(table)", "new \(table)"] where try self.shown(table, key, db) == nil
        {
            return "'\(key)' is lost"
        }
        for fate in [Fate.gone, .mine] where try self.shown(table, self.key(fate, table), db) != nil {
            return "'\(self.key(fate, table))' was deleted and is shown"
        }
        return try self.edits(table, db) ?? self.claimed(table, db)
    }

    private func edits(_ table: String, _ db: Database) throws -> String? {
        let columns = self.rows.plainColumns(table)
        guard columns.count == 2 else { return "has not two columns" }
        func text(_ fate: Fate, _ column: Int) throws -> String? {
            try self.shown(table, self.key(fate, table), db).flatMap { String.fromDatabaseValue($0[columns[column]]) }
        }
        let edited = try [text(.edited, 0), text(.edited, 1), text(.kept, 1)]
        if edited != ["A edited", "C edited", "A late"] { return "an edit is lost: \(edited)" }
        let clash = try [text(.clash, 0)].compactMap { $0 } + self.journal(table, self.key(.clash, table), db).values
        if !clash.contains("A clash") || !clash.contains("C clash") { return "of two edits there is \(clash)" }
        let both = try [text(.both, 0)].compactMap { $0 } + self.journal(table, self.key(.both, table), db).values
        if !both.contains("C both") { return "the edit of a row that was deleted is lost" }
        let kinds = try self.journal(table, self.key(.both, table), db).kinds
        return kinds.isEmpty ? "no entry is about the row that was deleted and edited" : nil
    }

    private func claimed(_ table: String, _ db: Database) throws -> String? {
        guard self.rows.uniqueColumn(table) != nil else { return nil }
        let keys = ["B", "C"].map { "claim \($0) \(table)" }
        let there = try keys.filter { try self.shown(table, $0, db) != nil }
        if there.count == 2 { return nil }
        let kinds = try keys.map { try self.journal(table, $0, db).kinds }.reduce(Set()) { $0.union($1) }
        return there.count == 1 && kinds.contains("merged") ? nil : "of two rows with one number there is \(there)"
    }

    private func problem(_ reference: ClinicRows.Reference, _ db: Database) throws -> String? {
        let name = self.name(reference)
        guard let child = try self.shown(reference.child, "child \(name)", db) else {
            let kinds = try self.journal(reference.child, "child \(name)", db).kinds
            return kinds.contains("cascaded") ? nil : "the row that was added is lost"
        }
        guard let parent = String.fromDatabaseValue(child[reference.column]) else { return nil }
        return try self.shown(reference.parent, parent, db) == nil ? "refers to a row that is not shown" : nil
    }

    /// The rows that were deleted meanwhile, that the away PC had edited, and that a node does not show.
    func deletedAndEdited(on node: SimulatedNode) throws -> [(table: String, key: String)] {
        try node.disk.read { db in
            try self.rows.tables.map { ($0, self.key(.both, $0)) }.filter { try self.shown($0.0, $0.1, db) == nil }
        }
    }
}
