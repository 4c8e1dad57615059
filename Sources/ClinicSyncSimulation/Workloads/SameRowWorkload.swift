import GRDB

/// All PCs insert, edit, delete, replace and rename the same few rows.
///
/// The convergence checker checks the outcome, which must be equal on every node.
final class SameRowWorkload: SimulationWorkload {
    func step(_ program: SimulatedProgram) throws {
        let statement = self.statement(program)
        try program.transaction("same row") { try $0.execute(sql: statement) }
    }

    private func statement(_ program: SimulatedProgram) -> String {
        let id = "shared-\(program.below(4))"
        let value = program.below(100)
        switch program.below(10) {
        case 0: return "INSERT OR REPLACE INTO patients(id, fullName, email) VALUES('\(id)', 'n\(value)', 'e')"
        case 1:
            return """
                INSERT INTO patients(id, fullName) VALUES('\(id)', 'n')
                ON CONFLICT(id) DO UPDATE SET gender = '\(value)'
                """
        case 2: return "UPDATE patients SET fullName = 'u\(value)' WHERE id = '\(id)'"
        case 3: return "UPDATE patients SET email = NULL, gender = \(value) WHERE id = '\(id)'"
        case 4: return "UPDATE patients SET bloodType = x'00ff', birthDate = 1.5 WHERE id = '\(id)'"
        case 5: return "DELETE FROM patients WHERE id = '\(id)'"
        case 6: return "UPDATE OR IGNORE patients SET id = 'shared-\(program.below(4))' WHERE id = '\(id)'"
        case 7:
            return """
                INSERT OR IGNORE INTO active_patient_queue
                (queueEntryId, patientName, arrivalTime, queueNumber, status, createdAt)
                VALUES('\(id)', 'n', 't', \(value), 'waiting', 't')
                """
        case 8: return "UPDATE active_patient_queue SET status = 'served', age = \(value) WHERE queueEntryId = '\(id)'"
        default: return "DELETE FROM active_patient_queue WHERE queueEntryId = '\(id)'"
        }
    }
}
