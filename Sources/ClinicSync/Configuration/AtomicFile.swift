package import Foundation
import Glibc

/// Writes small files atomically: a reader sees the old content or the new content, even after a power cut.
///
/// The content goes into a temporary file beside the target, reaches the disk, and takes the target's name in one step.
/// The writer sets the mode on the open file, so the mode does not depend on the umask. What root makes belongs to the owner of
/// the directory around it, so that a node of another account can use it.
package enum AtomicFile {
    /// Replaces the content of `url`.
    ///
    /// - Throws: ``ClinicSyncError`` of code `diskFull`, `permission` or `storage`, with the name of the file.
    package static func write(_ bytes: [UInt8], to url: URL, mode: mode_t) throws {
        let path = url.path
        let temporary = path + ".new"
        guard unlink(temporary) == 0 || errno == ENOENT else {
            throw AtomicFile.failure(errno, doing: "replace", path: path)
        }
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw AtomicFile.failure(errno, doing: "write", path: path) }
        do {
            defer { close(descriptor) }
            guard fchmod(descriptor, mode) == 0, AtomicFile.giveToOwner(descriptor, path: path) else {
                throw AtomicFile.failure(errno, doing: "write", path: path)
            }
            try AtomicFile.writeAll(bytes, to: descriptor, path: path)
            guard fsync(descriptor) == 0 else {
                throw AtomicFile.failure(errno, doing: "write", path: path)
            }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else {
            let code = errno
            unlink(temporary)
            throw AtomicFile.failure(code, doing: "write", path: path)
        }
        try AtomicFile.synchronizeDirectory(url.deletingLastPathComponent())
    }

    /// Reads `url`; `nil` when it does not exist.
    ///
    /// A symbolic link in the file's place is refused: it would make the node read what another account chose. With
    /// `followsLinks` it is followed, for files that administrators write.
    ///
    /// - Throws: ``ClinicSyncError``, also when the file is larger than `limit` bytes.
    package static func read(_ url: URL, limit: Int = 1 << 20, followsLinks: Bool = false) throws -> [UInt8]? {
        let descriptor = open(url.path, O_RDONLY | O_CLOEXEC | (followsLinks ? 0 : O_NOFOLLOW))
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw AtomicFile.failure(errno, doing: "read", path: url.path)
        }
        defer { close(descriptor) }
        var content = [UInt8]()
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw AtomicFile.failure(errno, doing: "read", path: url.path)
            }
            if count == 0 { return content }
            content.append(contentsOf: buffer[..<count])
            guard content.count <= limit else {
                throw ClinicSyncError(
                    .corrupt,
                    "\(url.path) is larger than a file of this kind can be: restore it from a backup."
                )
            }
        }
    }

    /// Makes a directory and missing parents, and gives a new directory `mode`.
    package static func makeDirectory(_ url: URL, mode: mode_t) throws {
        let path = url.path
        var code = mkdir(path, mode) == 0 ? 0 : errno
        if code == ENOENT, url.pathComponents.count > 1 {
            try AtomicFile.makeDirectory(url.deletingLastPathComponent(), mode: 0o755)
            // Retry only once. In some places, such as /proc, the parent exists and the answer stays the same.
            code = mkdir(path, mode) == 0 ? 0 : errno
        }
        switch code {
        case 0:
            // `mkdir` subtracts the umask; the mode is part of the contract.
            guard chmod(path, mode) == 0, AtomicFile.giveToOwner(path: path) else {
                throw AtomicFile.failure(errno, doing: "create", path: path)
            }
        case EEXIST:
            var information = stat()
            guard stat(path, &information) == 0 else {
                throw AtomicFile.failure(errno, doing: "read", path: path)
            }
            guard information.st_mode & S_IFMT == S_IFDIR else {
                throw ClinicSyncError(.storage, "\(path) is a file, not a directory: name another directory.")
            }
        default:
            throw AtomicFile.failure(code, doing: "create", path: path)
        }
    }

    /// Gives a new file or directory the owner of the directory around it, when this process is root.
    ///
    /// Other accounts cannot give files away, and need not: the node that uses the files runs under the same account.
    ///
    /// - Parameters:
    ///   - descriptor: the open file; `nil` for the directory at `path`.
    ///   - path: where the file is.
    /// - Returns: Whether the owner is right now; if not, `errno` says why.
    package static func giveToOwner(_ descriptor: Int32? = nil, path: String) -> Bool {
        guard geteuid() == 0 else { return true }
        var information = stat()
        guard stat(URL(fileURLWithPath: path).deletingLastPathComponent().path, &information) == 0 else { return false }
        // The group stays: it is that of a directory that hands its group on.
        let noGroup = gid_t.max
        guard information.st_uid != 0 else { return true }
        if let descriptor { return fchown(descriptor, information.st_uid, noGroup) == 0 }
        return lchown(path, information.st_uid, noGroup) == 0
    }

    /// Returns the permissions of a file or directory; `nil` when it does not exist.
    ///
    /// - Throws: ``ClinicSyncError`` of code `permission` or `storage`.
    package static func mode(of path: String) throws -> mode_t? {
        var information = stat()
        guard stat(path, &information) == 0 else {
            if errno == ENOENT { return nil }
            throw AtomicFile.failure(errno, doing: "read", path: path)
        }
        return information.st_mode & 0o777
    }

    /// Returns the error for an error number of the operating system.
    package static func failure(_ code: Int32, doing verb: String, path: String) -> ClinicSyncError {
        switch code {
        case ENOSPC, EDQUOT:
            ClinicSyncError(.diskFull, "Cannot \(verb) \(path) because the disk is full: make room and try again.")
        case EACCES, EPERM:
            ClinicSyncError(
                .permission,
                "Cannot \(verb) \(path): this account has no permission; use another account or directory."
            )
        case EROFS:
            ClinicSyncError(
                .permission,
                "Cannot \(verb) \(path) because the file system is read-only: use another directory."
            )
        case ELOOP:
            ClinicSyncError(.permission, "Cannot \(verb) \(path): it is a symbolic link; put the file itself there.")
        case ENOENT:
            ClinicSyncError(.storage, "Cannot \(verb) \(path): there is no such place; name another directory.")
        case ENOTDIR:
            ClinicSyncError(.storage, "Cannot \(verb) \(path): a part of the path is a file; name another directory.")
        default:
            ClinicSyncError(.storage, "Cannot \(verb) \(path): \(String(cString: strerror(code))).")
        }
    }

    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32, path: String) throws {
        var offset = 0
        while offset < bytes.count {
            let written = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress?.advanced(by: offset), buffer.count - offset)
            }
            if written < 0 {
                if errno == EINTR { continue }
                throw AtomicFile.failure(errno, doing: "write", path: path)
            }
            offset += written
        }
    }

    private static func synchronizeDirectory(_ url: URL) throws {
        let descriptor = open(url.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw AtomicFile.failure(errno, doing: "write", path: url.path) }
        defer { close(descriptor) }
        // Some file systems refuse to synchronise a directory. Then the file system determines how durable the rename
        // is.
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw AtomicFile.failure(errno, doing: "write", path: url.path)
        }
    }
}
