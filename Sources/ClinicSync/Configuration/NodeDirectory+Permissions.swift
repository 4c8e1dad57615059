import Foundation
import Glibc

/// What other accounts of this PC may do with the node's files.
extension NodeDirectory {
    /// Refuses a directory in which any account could replace files, and a token that any account could read.
    ///
    /// A group may write the directory and read the token: an administrator may share the node with programs of other
    /// accounts in this way. Accounts of the group could put files of their own in the place of the node's, so the files that
    /// decide what the node is and does must belong to the owner of the directory or to root then.
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
        try self.requireOwnFiles()
        guard commands.isEmpty else {
            throw ClinicSyncError(
                .permission,
                "Other accounts could use the node in \(self.url.path) or replace its files: run "
                    + commands.joined(separator: " && ")
            )
        }
    }

    /// Refuses files that an account of the directory's group has put in the place of the node's.
    ///
    /// The group may rename the database, whose content is the group's, so no such file may be writable for the group.
    private func requireOwnFiles() throws {
        var information = stat()
        guard stat(self.url.path, &information) == 0, information.st_mode & S_IWGRP != 0 else { return }
        let owner = information.st_uid
        for url in [self.configurationURL, self.tokenURL, self.identityDirectoryURL, self.runDirectoryURL] {
            guard lstat(url.path, &information) == 0 else { continue }
            // The mode of a symbolic link says nothing; its owner has chosen what it names.
            let isLink = information.st_mode & S_IFMT == S_IFLNK
            let isOwn = information.st_uid == owner || information.st_uid == 0
            guard isOwn, isLink || information.st_mode & S_IWGRP == 0 else {
                throw ClinicSyncError(
                    .permission,
                    "Another account may have put \(url.path) there: look at it, then remove it, "
                        + "or run chown \(owner) \(ShellText.quoted(url.path)) && chmod g-w \(ShellText.quoted(url.path))"
                )
            }
        }
    }

    /// Lets the accounts of a group read and write the database: the directory hands its group on to new files (mode 2770), and
    /// the files of the database get mode 0660.
    ///
    /// Secrets stay the owner's alone. Nothing is done where the permissions are right already.
    ///
    /// - Throws: ``ClinicSyncError`` of code `configuration` when there is no such group, or when this account may not give
    ///   files to it.
    package func share(with group: String) throws {
        guard let id = NodeDirectory.id(ofGroup: group) else {
            throw ClinicSyncError(
                .configuration,
                "There is no group \(group), which the setting group names: make it with addgroup --system \(group)"
            )
        }
        // The database comes first: the group cannot reach it until the directory is open to it.
        for suffix in ["", "-wal", "-shm"] {
            try self.share(
                self.databaseURL.path + suffix,
                with: id,
                named: group,
                adding: S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP
            )
        }
        try self.share(self.url.path, with: id, named: group, adding: S_IRWXU | S_IRWXG | S_ISGID)
    }

    private func share(_ path: String, with id: gid_t, named group: String, adding mode: mode_t) throws {
        // By a descriptor: an account of the group could put a link in the place of a name. No connection has the database open yet,
        // so closing the descriptor ends no lock.
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            if errno == ENOENT { return }
            throw AtomicFile.failure(errno, doing: "share", path: path)
        }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else {
            throw AtomicFile.failure(errno, doing: "share", path: path)
        }
        let isDirectory = information.st_mode & S_IFMT == S_IFDIR
        guard isDirectory || (information.st_mode & S_IFMT == S_IFREG && information.st_nlink == 1) else {
            throw ClinicSyncError(
                .permission,
                "\(path) is no file of its own: look at it, then put the file itself there."
            )
        }
        let present = information.st_mode & 0o7777
        let isRight = information.st_gid == id && present & mode == mode
        // A change of the group clears the setgid bit, so the mode comes after it.
        guard isRight || (fchown(descriptor, uid_t.max, id) == 0 && fchmod(descriptor, present | mode) == 0) else {
            throw ClinicSyncError(
                .configuration,
                "\(path) cannot be given to the group \(group): add the node's account to the group with "
                    + "adduser, and start the node again."
            )
        }
    }

    private static func id(ofGroup name: String) -> gid_t? {
        var entry = Glibc.group()
        var found: UnsafeMutablePointer<Glibc.group>?
        // Enough for a group with thousands of members.
        var buffer = [CChar](repeating: 0, count: 1 << 18)
        guard getgrnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return entry.gr_gid
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
