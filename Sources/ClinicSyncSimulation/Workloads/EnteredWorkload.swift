import ClinicSyncModel
import GRDB

/// What people enter on PCs whose nodes are honest, and what somebody enters on the PC of a node that nobody trusts.
///
/// Each patient belongs to one PC, where alone programs edit the patient. So the value that must stand in the end is known.
/// The suspect's programs write rows of their own, and the few rows that all PCs write.
final class EnteredWorkload: SimulationWorkload {
    /// The rows that all PCs write.
    static let shared = (0..<4).map { "shared-\($0)" }

    /// What must be shown of a patient.
    private struct Entry {
        var phone: String
        /// The PC that alone writes it; `nil`: all do.
        var node: Int?
        /// Whether it was entered when the suspect was out.
        var isLast: Bool
    }

    /// What must be shown in the end, by the patient's id.
    private var entered: [String: Entry] = [:]
    private var history: [String] = []
    private var last = 0
    private var isLast = false
    /// Whether the rows of earlier steps count; not when somebody forged what others entered.
    var isExact = true
    /// Whether it is enough that the journal keeps a value; not for what was entered last.
    var isJournalEnough = false

    func step(_ program: SimulatedProgram) throws {
        if program.world.isSuspect(program.node) { return try self.intrude(program) }
        switch program.below(10) {
        case 0...3: try self.register(program)
        case 4...6: try self.edit(program)
        case 7: try self.register(program, count: 12)
        default: try self.share(program)
        }
    }

    private func nextID() -> Int {
        self.last += 1
        return self.last
    }

    private func enter(_ phone: String, for id: String, at node: Int?) {
        self.entered[id] = Entry(phone: phone, node: node, isLast: self.isLast)
    }

    private func register(_ program: SimulatedProgram, count: Int = 1) throws {
        let ids = (0..<count).map { _ in "p-\(program.node.name)-\(self.nextID())" }
        let phone = "09\(self.last)"
        let isCommitted = try program.transaction("registers \(ids[0]) and \(count - 1)") { db in
            for id in ids {
                try db.execute(
                    sql: "INSERT INTO patients(id, fullName, contactNumber, createdAt) VALUES(?, ?, ?, 't')",
                    arguments: [id, "Name of \(id)", phone]
                )
            }
        }
        if isCommitted { for id in ids { self.enter(phone, for: id, at: program.node.index) } }
    }

    private func edit(_ program: SimulatedProgram) throws {
        let own = self.entered.filter { $0.value.node == program.node.index }.keys.sorted()
        guard !own.isEmpty else { return try self.register(program) }
        let id = own[program.below(own.count)]
        let entry = "h-\(program.node.name)-\(self.nextID())"
        let phone = "09\(self.last)"
        let isCommitted = try program.transaction("edits \(id)") { db in
            try db.execute(sql: "UPDATE patients SET contactNumber = ? WHERE id = ?", arguments: [phone, id])
            try db.execute(
                sql: """
                    INSERT INTO patient_history(id, patientId, fieldName, newValue, updatedAt)
                    VALUES(?, ?, 'contactNumber', ?, 't')
                    """,
                arguments: [entry, id, phone]
            )
        }
        guard isCommitted else { return }
        self.enter(phone, for: id, at: program.node.index)
        self.history.append(entry)
    }

    /// Writes a row that all PCs write.
    private func share(_ program: SimulatedProgram) throws {
        let id = EnteredWorkload.shared[program.below(EnteredWorkload.shared.count)]
        let value = program.below(100)
        let statement =
            switch program.below(4) {
            case 0: "INSERT OR REPLACE INTO patients(id, fullName, email) VALUES('\(id)', 'n\(value)', 'e')"
            case 1: "UPDATE patients SET fullName = 'u\(value)' WHERE id = '\(id)'"
            case 2: "DELETE FROM patients WHERE id = '\(id)'"
            default:
                """
                INSERT INTO patients(id, fullName) VALUES('\(id)', 'n')
                ON CONFLICT(id) DO UPDATE SET gender = '\(value)'
                """
            }
        try program.transaction("shares \(id)") { try $0.execute(sql: statement) }
    }

    private func intrude(_ program: SimulatedProgram) throws {
        if program.chance(40) { return try self.share(program) }
        if program.chance(30) {
            try program.transaction("writes junk") { try JunkRows.write($0, program) }
            return
        }
        let id = "zz-\(self.nextID())"
        try program.transaction("intrudes \(id)") { db in
            try db.execute(sql: "INSERT INTO patients(id, fullName) VALUES(?, 'x')", arguments: [id])
        }
    }

    // MARK: - The end

    /// Without the suspect all PCs go on: each registers a patient, edits its own, and writes rows that all wrote before.
    ///
    /// Whatever the suspect left behind, these writes must stand everywhere.
    func writeLast(in world: SimulatedWorld) throws {
        self.isLast = true
        if !self.isExact {
            self.entered = [:]
            self.history = []
        }
        let members = world.members
        for node in members {
            let program = SimulatedProgram(world: world, node: node)
            for _ in 0..<2 { try self.edit(program) }
            try self.register(program)
        }
        for (number, id) in EnteredWorkload.shared.enumerated() {
            let node = members[number % members.count]
            let phone = "last-\(number)"
            let isCommitted = try SimulatedProgram(world: world, node: node).transaction("writes \(id) last") { db in
                try db.execute(
                    sql: "INSERT OR REPLACE INTO patients(id, fullName, contactNumber) VALUES(?, 'last', ?)",
                    arguments: [id, phone]
                )
            }
            if isCommitted { self.enter(phone, for: id, at: nil) }
        }
    }

    func checkFinally(_ node: SimulatedNode) throws -> String? {
        let shown = try node.disk.read { db in
            try Row.fetchAll(db, sql: "SELECT id, contactNumber FROM patients")
        }
        let phones = Dictionary(
            // A damaged member may have made rows with other keys.
            shown.compactMap { row in
                String.fromDatabaseValue(row[0]).map { ($0, String.fromDatabaseValue(row[1])) }
            },
            uniquingKeysWith: { first, _ in first }
        )
        for (id, expected) in self.entered.sorted(by: { $0.key < $1.key }) {
            if phones[id] == .some(expected.phone) { continue }
            if self.isJournalEnough, !expected.isLast, try self.isInJournal(id, expected.phone, on: node) { continue }
            guard let phone = phones[id] else { return "\(node.name) lost \(id)" }
            if phone != expected.phone {
                return "\(node.name) shows \(phone ?? "nothing") of \(id), not \(expected.phone)"
            }
        }
        let entries = try node.disk.read {
            try Set(String.fetchAll($0, sql: "SELECT id FROM patient_history WHERE typeof(id) = 'text'"))
        }
        return self.history.first { !entries.contains($0) }.map { "\(node.name) lost \($0)" }
    }

    /// Whether the journal has the phone number, or says that the patient was deleted.
    private func isInJournal(_ id: String, _ phone: String, on node: SimulatedNode) throws -> Bool {
        try node.disk.read { db in
            let sql = "SELECT 1 FROM clinicsync_conflict WHERE recordId = ? AND (value = ? OR kind <> 'value')"
            return try Bool.fetchOne(db, sql: sql, arguments: [id, phone]) ?? false
        }
    }
}
