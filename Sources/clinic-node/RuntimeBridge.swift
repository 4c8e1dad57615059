import ClinicSync
import ClinicSyncClinic

/// The places where commands call the storage, without the local API.
enum RuntimeBridge {
    /// Writes made-up data as any program would: through a connection of its own, in transactions.
    static func writeSampleData(seed: UInt64, patients: Int, path: String) throws -> [SampleData.Count] {
        try StorageErrors.mapping { try SampleData(seed: seed).write(patients: patients, to: path) }
    }

    /// Whether nothing was entered in the clinic yet.
    static func isEmpty(path: String) throws -> Bool {
        try StorageErrors.mapping { try SampleData.isEmpty(path: path) }
    }
}
