import ClinicSyncCore
import Foundation

/// Finds the process that keeps a write transaction of an SQLite file open.
///
/// Reads Linux's table of file locks and opens no file of the database: closing one would end the locks that SQLite
/// holds for this process. Elsewhere, and where the table does not say, the holder stays unknown.
enum LockHolder {
    /// The byte of the WAL index that a writer locks: SQLite's `WAL_WRITE_LOCK`, a part of its file format.
    static let writeLockByte = 120

    /// Finds the holder.
    ///
    /// - Parameter path: the database.
    /// - Returns: The holder; `nil` when the system does not tell.
    static func find(databasePath path: String) -> StoreLock.Holder? {
        var index = stat()
        guard stat(path + "-shm", &index) == 0, let table = LockHolder.text("/proc/locks"),
            let process = LockHolder.process(in: table, inode: index.st_ino),
            process != ProcessInfo.processInfo.processIdentifier
        else { return nil }
        let program = LockHolder.text("/proc/\(process)/comm") ?? ""
        return StoreLock.Holder(process: process, program: String(program.prefix { $0 != "\n" }))
    }

    /// The bytes of the WAL index that readers lock: SQLite's `WAL_READ_LOCK(0)` to `WAL_READ_LOCK(4)`.
    static let readLockBytes = 123...127

    /// Finds another process that has a read transaction open.
    ///
    /// - Parameter path: the database.
    /// - Returns: The first such process; `nil` when there is none, or the system does not tell.
    static func reader(databasePath path: String) -> StoreLock.Holder? {
        var index = stat()
        guard stat(path + "-shm", &index) == 0, let table = LockHolder.text("/proc/locks") else { return nil }
        let own = ProcessInfo.processInfo.processIdentifier
        let readers = LockHolder.readers(in: table, inode: index.st_ino)
        guard let process = readers.first(where: { $0 != own }) else { return nil }
        let program = LockHolder.text("/proc/\(process)/comm") ?? ""
        return StoreLock.Holder(process: process, program: String(program.prefix { $0 != "\n" }))
    }

    /// Returns the processes that have a reader's lock on the WAL index with this inode; see ``process(in:inode:)``.
    static func readers(in table: String, inode: ino_t) -> [Int] {
        let inode = "\(inode)"
        return table.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard words.count == 8, words[1] == "POSIX", words[3] == "READ",
                words[5].split(separator: ":").last.map(String.init) == inode,
                let first = Int(words[6]), LockHolder.readLockBytes.contains(first),
                let process = Int(words[4]), process > 0
            else { return nil }
            return process
        }
    }

    /// Finds another process that has the database open and in use.
    ///
    /// Every connection in WAL mode holds a shared lock on the database as long as it is open.
    ///
    /// - Parameter path: the database.
    /// - Returns: The first such process; `nil` when there is none, or the system does not tell.
    static func user(databasePath path: String) -> StoreLock.Holder? {
        var file = stat()
        guard stat(path, &file) == 0, let table = LockHolder.text("/proc/locks") else { return nil }
        let own = ProcessInfo.processInfo.processIdentifier
        let users = LockHolder.users(in: table, inode: file.st_ino)
        guard let process = users.first(where: { $0 != own }) else { return nil }
        let program = LockHolder.text("/proc/\(process)/comm") ?? ""
        return StoreLock.Holder(process: process, program: String(program.prefix { $0 != "\n" }))
    }

    /// Returns the processes that have any lock on the file with this inode; see ``process(in:inode:)``.
    static func users(in table: String, inode: ino_t) -> [Int] {
        let inode = "\(inode)"
        return table.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard words.count == 8, words[1] == "POSIX", words[5].split(separator: ":").last.map(String.init) == inode,
                let process = Int(words[4]), process > 0
            else { return nil }
            return process
        }
    }

    /// Returns the process that has the write lock on the WAL index with this inode.
    ///
    /// The table names the device too, but some file systems (btrfs, overlayfs) show another device there than to
    /// programs. The byte and the inode together are distinct enough.
    ///
    /// - Parameters:
    ///   - table: the text of `/proc/locks`. A line is for example
    ///     `7: POSIX  ADVISORY  WRITE 4711 fd:01:131077 120 120`.
    ///   - inode: the inode.
    /// - Returns: The process; `nil` when the table has none. Locks of other PID namespaces have the number 0.
    static func process(in table: String, inode: ino_t) -> Int? {
        let inode = "\(inode)"
        for line in table.split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            // A waiting lock has an arrow in front of its kind, and so one word more.
            guard words.count == 8, words[1] == "POSIX", words[3] == "WRITE",
                words[5].split(separator: ":").last.map(String.init) == inode,
                let first = Int(words[6]), first <= LockHolder.writeLockByte,
                Int(words[7]).map({ $0 >= LockHolder.writeLockByte }) ?? (words[7] == "EOF"),
                let process = Int(words[4]), process > 0
            else { continue }
            return process
        }
        return nil
    }

    private static func text(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }
}
