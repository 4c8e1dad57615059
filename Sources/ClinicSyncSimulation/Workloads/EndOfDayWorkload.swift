import GRDB

/// The end of a day: programs write the report again, and delete the day's queue.
final class EndOfDayWorkload: SimulationWorkload {
    func step(_ program: SimulatedProgram) throws {
        let day = "day-\(program.below(3))"
        guard program.chance(40) else { return }
        try program.transaction("ends \(day)") { db in
            let count = try Int.fetchOne(
                db,
                sql: "SELECT count(*) FROM active_patient_queue WHERE createdAt = ?",
                arguments: [day]
            )
            // The report of a day has the same id on every PC, so it is one row with one date.
            try db.execute(sql: "DELETE FROM patient_queue WHERE reportDate = ?", arguments: [day])
            try db.execute(
                sql: """
                    INSERT INTO patient_queue(id, reportDate, totalPatientsInQueue, patientsServed, generatedAt)
                    VALUES(?, ?, ?, 0, 't')
                    """,
                arguments: ["report-\(day)", day, count ?? 0]
            )
            try db.execute(sql: "DELETE FROM active_patient_queue WHERE createdAt = ?", arguments: [day])
        }
    }
}
