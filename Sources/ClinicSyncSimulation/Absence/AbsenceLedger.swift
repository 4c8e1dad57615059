import ClinicSyncModel
import GRDB

/// What programs entered in a run of the absence torture, and what must become of it.
///
/// Each value is written once. When a program replaces or deletes a value that it shows, nobody misses this value. All others
/// must be shown, or be in the journal. A row whose values were all deleted knowingly must not return.
final class AbsenceLedger: SimulationWorkload {
    /// A row of a table.
    private struct RowName: Hashable, Comparable {
        let table: Table
        let key: String

        static func < (left: RowName, right: RowName) -> Bool {
            (left.table.rawValue, left.key) < (right.table.rawValue, right.key)
        }
    }

    /// The tables that are written.
    private enum Table: String, CaseIterable {
        case patients
        case queue = "active_patient_queue"

        var key: String { self == .patients ? "id" : "queueEntryId" }
        var columns: [String] {
            self == .patients ? ["contactNumber", "address", "email"] : ["patientName", "conditionOrPurpose"]
        }
    }

    /// A value that nobody has replaced knowingly.
    private struct Value {
        let column: String
        let author: Int
    }

    /// A row that was added.
    private struct Entry {
        /// The values that nobody has replaced knowingly, by themselves.
        var values: [String: Value] = [:]
        /// The PC on which the row was added.
        var author: Int
        /// The PCs on which the row was deleted.
        var deleters: [Int] = []
    }

    /// The rows that all PCs edit.
    private static let shared = (0..<3).map { "shared-\($0)" }

    private var rows: [RowName: Entry] = [:]
    /// Users and services, which must be shown under their ids and names; with the PC on which they were added.
    private var users: [String: Int] = [:]
    private var services: [String: Int] = [:]
    private var last = 0

    func step(_ program: SimulatedProgram) throws {
        switch program.below(12) {
        case 0...1: try self.add(.patients, program)
        case 2...4: try self.edit(.patients, program)
        case 5...6: try self.share(program)
        case 7: try self.delete(.patients, program)
        case 8: try self.add(.queue, program)
        case 9: try self.edit(.queue, program)
        case 10: try self.delete(.queue, program)
        default: try self.clash(program)
        }
    }

    private func nextValue(_ program: SimulatedProgram) -> String {
        self.last += 1
        return "\(program.node.name)\(self.last)"
    }

    // MARK: - Writing

    /// Adds rows in one transaction.
    func add(_ count: Int, _ program: SimulatedProgram) throws {
        try self.add(.patients, keys: (0..<count).map { _ in "p-\(self.nextValue(program))" }, program)
    }

    /// Adds the rows that all PCs edit.
    func addShared(_ program: SimulatedProgram) throws { try self.add(.patients, keys: Self.shared, program) }

    private func add(_ table: Table, _ program: SimulatedProgram) throws {
        let key = (table == .patients ? "p-" : "e-") + self.nextValue(program)
        try self.add(table, keys: [key], program)
    }

    private func add(_ table: Table, keys: [String], _ program: SimulatedProgram) throws {
        let columns = table.columns
        let values = keys.map { _ in columns.map { _ in self.nextValue(program) } }
        let rest = table == .patients ? "" : ", arrivalTime, queueNumber, status, createdAt"
        let fixed = table == .patients ? "" : ", 't', 1, 'waiting', 't'"
        let marks = columns.map { _ in "?" }.joined(separator: ", ")
        let sql = """
            INSERT INTO \(table.rawValue)(\(table.key), \(columns.joined(separator: ", "))\(rest))
            VALUES(?, \(marks)\(fixed))
            """
        let isCommitted = try program.transaction("adds \(keys.count) of \(table.rawValue)") { db in
            for (key, values) in zip(keys, values) {
                try db.execute(sql: sql, arguments: StatementArguments([key] + values))
            }
        }
        guard isCommitted else { return }
        for (key, values) in zip(keys, values) {
            var entry = Entry(author: program.node.index)
            for (column, value) in zip(columns, values) {
                entry.values[value] = Value(column: column, author: program.node.index)
            }
            self.rows[RowName(table: table, key: key)] = entry
        }
    }

    private func share(_ program: SimulatedProgram) throws {
        let key = Self.shared[program.below(Self.shared.count)]
        try self.edit(RowName(table: .patients, key: key), program)
    }

    private func edit(_ table: Table, _ program: SimulatedProgram) throws {
        guard let name = try self.choose(table, program) else { return }
        try self.edit(name, program)
    }

    /// A row that the PC shows.
    private func choose(_ table: Table, _ program: SimulatedProgram) throws -> RowName? {
        let shown = try program.node.disk.read { db in
            try String.fetchAll(db, sql: "SELECT \(table.key) FROM \(table.rawValue) ORDER BY 1")
        }
        let known = shown.map { RowName(table: table, key: $0) }
            .filter { self.rows[$0] != nil && !Self.shared.contains($0.key) }
        return known.isEmpty ? nil : known[program.below(known.count)]
    }

    private func edit(_ name: RowName, _ program: SimulatedProgram) throws {
        let column = name.table.columns[program.below(name.table.columns.count)]
        let value = self.nextValue(program)
        let place = "\(name.table.rawValue) WHERE \(name.table.key) = ?"
        var former: String??
        let isCommitted = try program.transaction("edits \(name.key)/\(column) \(value)") { db in
            former = try Row.fetchOne(db, sql: "SELECT \(column) FROM \(place)", arguments: [name.key])
                .map { $0[0] as String? }
            try db.execute(
                sql: "UPDATE \(name.table.rawValue) SET \(column) = ? WHERE \(name.table.key) = ?",
                arguments: [value, name.key]
            )
        }
        guard isCommitted, let former else { return }
        if let former { self.rows[name]?.values[former] = nil }
        self.rows[name]?.values[value] = Value(column: column, author: program.node.index)
    }

    private func delete(_ table: Table, _ program: SimulatedProgram) throws {
        guard let name = try self.choose(table, program) else { return }
        var shown: [String] = []
        let isCommitted = try program.transaction("deletes \(name.key)") { db in
            let columns = table.columns.joined(separator: ", ")
            let place = "\(table.rawValue) WHERE \(table.key) = ?"
            let row = try Row.fetchOne(db, sql: "SELECT \(columns) FROM \(place)", arguments: [name.key])
            shown = row.map { row in row.databaseValues.compactMap { String.fromDatabaseValue($0) } } ?? []
            try db.execute(sql: "DELETE FROM \(place)", arguments: [name.key])
        }
        guard isCommitted else { return }
        for value in shown { self.rows[name]?.values[value] = nil }
        self.rows[name]?.deleters.append(program.node.index)
    }

    /// Adds a user and a service whose names other PCs give too.
    private func clash(_ program: SimulatedProgram) throws {
        let user = "u-" + self.nextValue(program)
        let name = "name-\(self.last / 40)"
        if try program.transaction(
            "adds user \(name)",
            { try $0.execute(sql: "INSERT INTO users(id, username) VALUES(?, ?)", arguments: [user, name]) }
        ) {
            self.users[user] = program.node.index
        }
        let service = "s-" + self.nextValue(program)
        if try program.transaction(
            "adds service \(name)",
            { db in
                try db.execute(
                    sql: "INSERT INTO clinic_services(id, serviceName) VALUES(?, ?)",
                    arguments: [service, name]
                )
            }
        ) {
            self.services[name] = program.node.index
        }
    }

    // MARK: - Checking

    func checkFinally(_ node: SimulatedNode) throws -> String? { try self.check(node, absent: []) }

    /// What is wrong on a node; `nil` when nothing is.
    ///
    /// What was written on PCs that are `absent` need not be there.
    func check(_ node: SimulatedNode, absent: [Int]) throws -> String? {
        let lost = try self.journalled(on: node)
        for table in Table.allCases {
            let shown = try self.shown(table, on: node)
            for (name, entry) in self.rows.sorted(by: { $0.key < $1.key }) where name.table == table {
                if let problem = self.check(name, entry, shown[name.key], lost[name.key] ?? [], absent) {
                    return "\(node.name) \(problem)"
                }
            }
        }
        let (users, services) = try node.disk.read { db in
            (
                try Set(String.fetchAll(db, sql: "SELECT id FROM users")),
                try Set(String.fetchAll(db, sql: "SELECT serviceName FROM clinic_services"))
            )
        }
        for (user, author) in self.users.sorted(by: { $0.key < $1.key }) where !absent.contains(author) {
            if !users.contains(user) { return "\(node.name) lost \(user)" }
        }
        for (service, author) in self.services.sorted(by: { $0.key < $1.key }) where !absent.contains(author) {
            if !services.contains(service) { return "\(node.name) lost the service \(service)" }
        }
        return nil
    }

    private func check(
        _ name: RowName,
        _ entry: Entry,
        _ shown: Set<String>?,
        _ lost: Set<String>,
        _ absent: [Int]
    ) -> String? {
        for (value, written) in entry.values.sorted(by: { $0.key < $1.key }) where !absent.contains(written.author) {
            if shown?.contains(value) == true || lost.contains(value) { continue }
            return "lost \(value) of \(name.key)/\(written.column)"
        }
        let isGone = entry.values.isEmpty && entry.deleters.contains { !absent.contains($0) }
        return isGone && shown != nil ? "shows \(name.key), which was deleted" : nil
    }

    private func shown(_ table: Table, on node: SimulatedNode) throws -> [String: Set<String>] {
        let columns = ([table.key] + table.columns).joined(separator: ", ")
        let rows = try node.disk.read { try Row.fetchAll($0, sql: "SELECT \(columns) FROM \(table.rawValue)") }
        let pairs = rows.map { row in
            let values = row.databaseValues.compactMap { String.fromDatabaseValue($0) }
            return (values.first ?? "", Set(values.dropFirst()))
        }
        return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
    }

    /// The values in the journal, by the keys of their rows.
    private func journalled(on node: SimulatedNode) throws -> [String: Set<String>] {
        let rows = try node.disk.read { db in
            try Row.fetchAll(db, sql: "SELECT recordId, value FROM clinicsync_conflict WHERE typeof(recordId) = 'text'")
        }
        var values: [String: Set<String>] = [:]
        for row in rows {
            guard let value = String.fromDatabaseValue(row[1]) else { continue }
            values[row[0], default: []].insert(value)
        }
        return values
    }
}
