import ClinicSyncModel
import Foundation

/// What a backup says of itself: the setting `backup` of its file.
///
/// A copy that another program made, for example by `.backup` of the `sqlite3` shell, has none.
package struct BackupLabel: Sendable, Hashable, Codable {
    /// The id of the clinic.
    package var clinicID: String
    /// The name of the clinic when the backup was made.
    package var clinicName: String
    /// The name of the PC on which the backup was made.
    package var nodeName: String
    /// When the backup was made, by that PC's clock; milliseconds since 1970.
    package var madeAt: Int64

    /// Makes a label.
    package init(clinicID: String, clinicName: String, nodeName: String, madeAt: Int64) {
        self.clinicID = clinicID
        self.clinicName = clinicName
        self.nodeName = nodeName
        self.madeAt = madeAt
    }

    /// Reads the label of a file; `nil` when the file has none, or none that can be read.
    static func read(on connection: Connection) throws -> BackupLabel? {
        let text = try Settings.read(.backup, on: connection) { $0.string(0) }
        guard let text else { return nil }
        do {
            return try JSONDecoder().decode(BackupLabel.self, from: Data(text.utf8))
        } catch is DecodingError {
            return nil
        }
    }

    /// Writes the label into a copy.
    func write(in transaction: borrowing WriteTransaction) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let text = String(decoding: try encoder.encode(self), as: UTF8.self)
        try Settings.set(.backup, to: .string(text), in: transaction)
    }
}
