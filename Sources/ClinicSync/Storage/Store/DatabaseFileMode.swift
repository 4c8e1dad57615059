import Glibc

/// The permissions of a new database file.
///
/// SQLite gives the `-wal` and `-shm` files the permissions of the database, whatever the umask of the program that makes them.
package enum DatabaseFileMode {
    /// The file belongs to one account.
    package static let own: UInt32 = 0o600
    /// The accounts of a group read and write the file.
    package static let shared: UInt32 = 0o660

    /// Returns the permissions for a new database at `path`.
    ///
    /// They are ``shared`` in a directory that its group may write and that hands its group on to new files (setgid, mode 2770).
    /// An administrator makes such a directory on purpose. In every other directory they are ``own``.
    package static func forNewFile(at path: String) -> UInt32 {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        var information = stat()
        guard stat(folder, &information) == 0 else { return DatabaseFileMode.own }
        let needed = S_ISGID | S_IRWXG
        return information.st_mode & needed == needed ? DatabaseFileMode.shared : DatabaseFileMode.own
    }

    /// Makes an empty file with these permissions, whatever the umask.
    ///
    /// - Returns: Whether the file was made; there is no file then when it was not there before.
    package static func createFile(at path: String) -> Bool {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, DatabaseFileMode.own)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        guard fchmod(descriptor, DatabaseFileMode.forNewFile(at: path)) == 0 else {
            unlink(path)
            return false
        }
        return true
    }
}
