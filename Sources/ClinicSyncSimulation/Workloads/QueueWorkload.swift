import GRDB

/// The queue moves, and the services that patients ask for are counted.
///
/// A service's count is the sum of all increments that were committed anywhere.
final class QueueWorkload: SimulationWorkload {
    private static let services = [
        "service-general-consultation", "service-urinalysis", "service-vaccination", "service-chest-x-ray",
    ]

    private var counts: [String: Int] = [:]
    private var lastEntry = 0

    func step(_ program: SimulatedProgram) throws {
        if program.chance(50) {
            try self.add(program)
        } else {
            try self.move(program)
        }
    }

    private func add(_ program: SimulatedProgram) throws {
        self.lastEntry += 1
        let id = "q-\(program.node.name)-\(self.lastEntry)"
        let first = program.below(QueueWorkload.services.count)
        let chosen = Array(QueueWorkload.services[first...].prefix(2))
        let isCommitted = try program.transaction("queues \(id)") { db in
            let last = try Int.fetchOne(db, sql: "SELECT max(queueNumber) FROM active_patient_queue") ?? 0
            try db.execute(
                sql: """
                    INSERT INTO active_patient_queue(queueEntryId, patientName, arrivalTime, queueNumber, status, createdAt)
                    VALUES(?, 'Name', 't', ?, 'waiting', ?)
                    """,
                arguments: [id, last + 1, "day-\(self.lastEntry % 3)"]
            )
            for service in chosen {
                try db.execute(
                    sql: "UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = ?",
                    arguments: [service]
                )
            }
        }
        if isCommitted { for service in chosen { self.counts[service, default: 0] += 1 } }
    }

    /// Edits one of the rows that this workload added: what becomes of the others, their own workload says.
    private func move(_ program: SimulatedProgram) throws {
        let status = ["in_progress", "in_consultation", "served"][program.below(3)]
        let place = program.below(10)
        try program.transaction("moves \(place)") { db in
            try db.execute(
                sql: """
                    UPDATE active_patient_queue SET status = ?, servedAt = 't', patientName = patientName, age = age
                    WHERE queueEntryId = (
                        SELECT queueEntryId FROM active_patient_queue WHERE queueEntryId LIKE 'q-%'
                        ORDER BY queueEntryId LIMIT 1 OFFSET ?
                    )
                    """,
                arguments: [status, place]
            )
        }
    }

    func checkFinally(_ node: SimulatedNode) throws -> String? {
        for service in QueueWorkload.services {
            let shown = try node.disk.read {
                try Int.fetchOne(
                    $0,
                    sql: "SELECT selectionCount FROM clinic_services WHERE id = ?",
                    arguments: [service]
                )
            }
            let expected = self.counts[service] ?? 0
            guard shown == expected else {
                return "\(node.name) counts \(shown.map { "\($0)" } ?? "nothing") instead of \(expected) for \(service)"
            }
        }
        return nil
    }
}
