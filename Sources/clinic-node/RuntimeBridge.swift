import ClinicSyncStorage

/// The places where commands call what lies below the local API.
enum RuntimeBridge {
    /// Writes made-up data as any program would: through a connection of its own, in transactions.
    static func writeSampleData(seed: UInt64, patients: Int, path: String) throws {
        try SampleData(seed: seed).write(patients: patients, to: path)
    }
}
