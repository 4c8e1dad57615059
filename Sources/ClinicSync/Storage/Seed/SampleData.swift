import GRDB

/// Made-up, realistic data for tests and demonstrations; the same seed gives the same data.
package struct SampleData: Sendable {
    private let seed: UInt64

    /// Makes a generator.
    package init(seed: UInt64) { self.seed = seed }

    /// Writes `patients` patients into the database at `path`, as any program would.
    package func write(patients: Int, to path: String) throws {
        let queue = try DatabaseQueue(path: path)
        try queue.write { db in
            for number in 0..<patients {
                try db.execute(
                    sql: "INSERT INTO patients(fullName) VALUES (?)",
                    arguments: ["Patient \(self.seed)-\(number)"]
                )
            }
        }
        try queue.close()
    }
}
