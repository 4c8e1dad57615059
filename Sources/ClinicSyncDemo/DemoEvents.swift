import GRDB
import Glibc
import NIOConcurrencyHelpers

/// Two PCs that write at the same moment, which other systems get wrong.
enum DemoEvents {
    /// So often each PC counts up.
    private static let increments = 5
    private static let service = (id: "service-urinalysis", name: "Urinalysis")

    /// A patient that every PC has.
    static func somePatient(_ clinic: DemoClinic, number: UInt64) async throws -> (id: String, name: String) {
        let database = try clinic.nodes[0].database()
        let offset = Int(number % UInt64(DemoClinic.patients))
        return try await clinic.onThread {
            try database.read { db in
                // The newest patients have an address that fits a line; all have been everywhere for a while.
                let row = try Row.fetchOne(
                    db,
                    sql: "SELECT id, firstName || ' ' || lastName AS name FROM patients ORDER BY id LIMIT 1 OFFSET ?",
                    arguments: [offset]
                )
                guard let row else { throw DemoError(message: "There are no patients to edit.") }
                return (row["id"], row["name"])
            }
        }
    }

    /// Two PCs save the whole row of one patient in transactions that overlap, each with another column changed.
    static func sameRow(_ clinic: DemoClinic, number: UInt64) async throws {
        let patient = try await self.somePatient(clinic, number: number)
        guard let first = clinic.nodes.first, let last = clinic.nodes.last else { return }
        try clinic.note(
            .step,
            "\(first.name) and \(last.name) save the whole row of \(patient.name) at the same moment."
        )
        let meeting = Meeting(of: 2)
        func save(_ column: String, _ value: String) -> @Sendable (Database) throws -> DemoProbe {
            { db in
                let row = try Row.fetchOne(db, sql: "SELECT * FROM patients WHERE id = ?", arguments: [patient.id])
                guard let row else { throw DemoError(message: "A patient of the demonstration is gone.") }
                // Neither PC writes before both have read, so that neither has read the other's change.
                try meeting.wait()
                return try DemoStatements.save(row, patient: patient.id, column: column, value: value, in: db)
            }
        }
        let telephone = "0900" + String(String(10_000_000 + number % 10_000_000).dropFirst())
        let address = "\(number % 400 + 1) Mabini Street, Antipolo"
        async let one = clinic.commit(on: first, save("contactNumber", telephone))
        async let other = clinic.commit(on: last, save("address", address))
        _ = try await (one, other)
        try await clinic.check(
            DemoProbe(
                "SELECT 2 * count(*) FROM patients WHERE id = ? AND contactNumber = ? AND address = ?",
                patient.id,
                telephone,
                address
            ),
            on: clinic.nodes,
            "The new number of the one and the new address of the other: both kept, on all PCs."
        )
    }

    /// All PCs count the same counter up at the same moment.
    static func counter(_ clinic: DemoClinic) async throws {
        let database = try clinic.nodes[0].database()
        let before = try await clinic.onThread {
            try database.look(DemoProbe("SELECT selectionCount FROM clinic_services WHERE id = ?", self.service.id))
        }
        let added = clinic.nodes.count * self.increments
        try clinic.note(
            .step,
            "All \(clinic.nodes.count) PCs choose \(self.service.name) \(self.increments) times each, at once."
        )
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for node in clinic.nodes {
                tasks.addTask {
                    for _ in 0..<self.increments {
                        _ = try await clinic.commit(on: node) { db in
                            try db.execute(
                                sql: "UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = ?",
                                arguments: [self.service.id]
                            )
                        }
                    }
                }
            }
            try await tasks.waitForAll()
        }
        try await clinic.check(
            DemoProbe(
                "SELECT 2 * count(*) FROM clinic_services WHERE id = ? AND selectionCount = \(before + added)",
                self.service.id
            ),
            on: clinic.nodes,
            "The counter went from \(before) to \(before + added) on all PCs: no increment is lost."
        )
    }
}

/// A point that several threads pass together.
private final class Meeting: Sendable {
    private static let pauseMicroseconds: UInt32 = 50
    private let missing: NIOLockedValueBox<Int>

    init(of count: Int) { self.missing = NIOLockedValueBox(count) }

    /// Returns when all have come.
    func wait() throws {
        self.missing.withLockedValue { $0 -= 1 }
        let deadline = ContinuousClock.now + .seconds(5)
        while self.missing.withLockedValue({ $0 > 0 }) {
            guard ContinuousClock.now < deadline else {
                throw DemoError(message: "A program of the demonstration waited for the other in vain.")
            }
            usleep(Meeting.pauseMicroseconds)
        }
    }
}
