import Foundation

/// A note beside the database that it is damaged, so that the next start reads all of it before it trusts it.
///
/// Opening a file reads a small part. A run that met a damaged page leaves this note, and ends.
struct FileSuspicion: Sendable {
    private let path: String

    /// The note beside the database at `path`.
    init(databasePath path: String) { self.path = path + ".damaged" }

    /// Whether there is a note.
    var isNoted: Bool { FileManager.default.fileExists(atPath: self.path) }

    /// Leaves the note; without room for it the damage is met again.
    func note() {
        _ = FileManager.default.createFile(atPath: self.path, contents: nil, attributes: [.posixPermissions: 0o600])
    }

    /// Removes the note.
    func forget() { _ = Result { try FileManager.default.removeItem(atPath: self.path) } }
}
