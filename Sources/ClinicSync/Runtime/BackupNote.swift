import Foundation

/// A note in the node's directory of the newest backup that was made on this PC.
package struct BackupNote: Sendable, Hashable, Codable {
    /// When the backup was made.
    package var madeAt: UTCTimestamp
    /// The file.
    package var file: String

    private static func url(in directory: NodeDirectory) -> URL { directory.url.appending(path: "backup.json") }

    /// Reads the note; `nil` when there is none, or it cannot be read.
    package static func read(in directory: NodeDirectory) -> BackupNote? {
        do {
            return try AtomicFile.read(self.url(in: directory)).map { try APICoding.decode(BackupNote.self, from: $0) }
        } catch {
            // The next backup writes the note again.
            return nil
        }
    }

    /// Writes the note.
    ///
    /// - Throws: ``ClinicSyncError``.
    package func write(in directory: NodeDirectory) throws {
        try AtomicFile.write(try APICoding.encode(self), to: BackupNote.url(in: directory), mode: 0o600)
    }
}
