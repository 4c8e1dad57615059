import GRDB

/// Patients are registered, and edited with a history, as at a registration desk.
///
/// No program deletes them, so every committed registration is on every PC in the end.
final class RegistrationWorkload: SimulationWorkload {
    private var registered: [String] = []
    private var entries: [String] = []

    func step(_ program: SimulatedProgram) throws {
        if self.registered.isEmpty || program.chance(60) {
            try self.register(program)
        } else {
            try self.edit(program)
        }
    }

    private func register(_ program: SimulatedProgram) throws {
        let id = "p-\(program.node.name)-\(self.registered.count)"
        let isCommitted = try program.transaction("registers \(id)") { db in
            try db.execute(
                sql: "INSERT INTO patients(id, fullName, birthDate, createdAt) VALUES(?, ?, '1980-01-01', 't')",
                arguments: [id, "Name of \(id)"]
            )
        }
        if isCommitted { self.registered.append(id) }
    }

    private func edit(_ program: SimulatedProgram) throws {
        let id = self.registered[program.below(self.registered.count)]
        let entry = "h-\(program.node.name)-\(self.entries.count)"
        let phone = "0900-\(program.below(1_000))"
        let isCommitted = try program.transaction("edits \(id)") { db in
            try db.execute(
                sql: """
                    INSERT INTO patient_history(id, patientId, fieldName, newValue, updatedAt)
                    VALUES(?, ?, 'contactNumber', ?, 't')
                    """,
                arguments: [entry, id, phone]
            )
            // The statement names all columns, like the clinic's programs, and changes one.
            try db.execute(
                sql: """
                    UPDATE patients SET fullName = fullName, birthDate = birthDate, gender = gender, email = email,
                    contactNumber = ?, updatedAt = updatedAt WHERE id = ?
                    """,
                arguments: [phone, id]
            )
        }
        if isCommitted { self.entries.append(entry) }
    }

    func checkFinally(_ node: SimulatedNode) throws -> String? {
        try self.missing(self.registered, in: "patients", on: node)
            ?? self.missing(self.entries, in: "patient_history", on: node)
    }

    private func missing(_ ids: [String], in table: String, on node: SimulatedNode) throws -> String? {
        let present = try node.disk.read { try Set(String.fetchAll($0, sql: "SELECT id FROM \(table)")) }
        return ids.first { !present.contains($0) }.map { "\(node.name) lost \($0) of \(table)" }
    }
}
