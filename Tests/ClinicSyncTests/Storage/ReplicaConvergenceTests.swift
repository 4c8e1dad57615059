import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

@Suite("Convergence of random histories")
struct ReplicaConvergenceTests {
    @Test("stores that exchanged everything show the same, whatever happened in whatever order", arguments: 0..<8)
    func randomHistories(seed: UInt64) throws {
        var random = TestRandom(seed: seed)
        let stores = try (1...3).map { try TestStore($0, like: TortureSchema.clinic.get()) }
        for _ in 0..<80 {
            let store = stores[Int.random(in: 0..<3, using: &random)]
            store.now += Int64.random(in: -50...100, using: &random)
            if Int.random(in: 0..<4, using: &random) == 0 {
                try store.send(to: stores[Int.random(in: 0..<3, using: &random)])
            } else {
                try store.sql(self.statement(using: &random))
                if Bool.random(using: &random) { try store.collect() }
            }
        }
        try converge(stores)
        try expectEqual(stores)
    }

    /// A program's statement on few rows, so that nodes meet.
    private func statement(using random: inout TestRandom) -> String {
        let id = Int.random(in: 0..<4, using: &random)
        let value = Int.random(in: 0..<100, using: &random)
        switch Int.random(in: 0..<11, using: &random) {
        case 0: return "INSERT OR REPLACE INTO patients(id, fullName, email) VALUES('p\(id)', 'n\(value)', 'e')"
        case 1:
            return
                "INSERT INTO patients(id, fullName) VALUES('p\(id)', 'n') ON CONFLICT(id) DO UPDATE SET gender = '\(value)'"
        case 2: return "UPDATE patients SET fullName = 'u\(value)' WHERE id = 'p\(id)'"
        case 3: return "UPDATE patients SET email = NULL, gender = \(value) WHERE id = 'p\(id)'"
        case 4: return "DELETE FROM patients WHERE id = 'p\(id)'"
        case 5: return "UPDATE OR IGNORE patients SET id = 'p\((id + 1) % 4)' WHERE id = 'p\(id)'"
        case 6:
            return "UPDATE clinic_services SET selectionCount = selectionCount + \(value - 50) WHERE rowid % 5 = \(id)"
        case 7: return "DELETE FROM clinic_services WHERE rowid = \(value)"
        case 8:
            return """
                INSERT OR IGNORE INTO active_patient_queue(queueEntryId, patientName, arrivalTime, queueNumber, status, createdAt)
                VALUES('q\(id)', 'n', 't', \(value), 'waiting', 't')
                """
        case 9: return "UPDATE active_patient_queue SET status = 'served', age = \(value) WHERE queueEntryId = 'q\(id)'"
        default: return "DELETE FROM active_patient_queue WHERE queueEntryId = 'q\(id)'"
        }
    }
}

/// A seeded generator (SplitMix64), so that a failing case can be repeated.
struct TestRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed &+ 0x1234_5678 }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var word = self.state
        word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
        return word ^ word >> 31
    }
}
