import Foundation
import Glibc

/// What other accounts of this PC may do with the node's files.
extension NodeDirectory {
    /// Refuses a directory in which any account could replace files, and a token that any account could read.
    ///
    /// A group may write the directory and read the token: an administrator may share the node with programs of other
    /// accounts in this way.
    ///
    /// - Throws: ``ClinicSyncError`` of code `permission`, with the command that repairs it.
    package func requirePrivate() throws {
        var commands = [String]()
        // The permissions would be those of the file that the link names.
        var token = stat()
        if lstat(self.tokenURL.path, &token) == 0, token.st_mode & S_IFMT == S_IFLNK {
            throw AtomicFile.failure(ELOOP, doing: "read", path: self.tokenURL.path)
        }
        for url in [self.url, self.runDirectoryURL] {
            guard let mode = try AtomicFile.mode(of: url.path), mode & S_IWOTH != 0 else { continue }
            commands.append("chmod o-w " + ShellText.quoted(url.path))
        }
        if let mode = try AtomicFile.mode(of: self.tokenURL.path), mode & (S_IROTH | S_IWOTH | S_IWGRP) != 0 {
            commands.append("chmod 600 " + ShellText.quoted(self.tokenURL.path))
        }
        guard commands.isEmpty else {
            throw ClinicSyncError(
                .permission,
                "Other accounts could use the node in \(self.url.path) or replace its files: run "
                    + commands.joined(separator: " && ")
            )
        }
    }

    /// What is wrong with the permissions of the database, in one sentence each.
    ///
    /// The node works all the same: a program may need it, and nobody may keep the clinic from working.
    ///
    /// - Throws: ``ClinicSyncError`` when the permissions cannot be read.
    package func permissionWarnings() throws -> [String] {
        let files = try ["", "-wal", "-shm"].map { self.databaseURL.path + $0 }.filter { path in
            try (AtomicFile.mode(of: path) ?? 0) & (S_IROTH | S_IWOTH) != 0
        }
        guard !files.isEmpty else { return [] }
        return [
            "Every account of this PC may use \(self.databaseURL.lastPathComponent): run chmod o-rwx "
                + files.map(ShellText.quoted).joined(separator: " ")
                + ", and share it with programs of other accounts by a group."
        ]
    }
}

/// Text for a POSIX shell.
enum ShellText {
    /// Quotes a path.
    static func quoted(_ path: String) -> String { "'" + path.replacingOccurrences(of: "'", with: #"'\''"#) + "'" }
}
