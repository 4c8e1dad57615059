import Foundation
import GRDB
import Glibc

/// A copy of a database file, made from one snapshot while programs and the node write on.
///
/// SQLite writes the copy (`VACUUM INTO`): it is one file without a write-ahead log, and has no pages of what was deleted. Nothing
/// but SQLite opens the source, because closing a descriptor of our own would end SQLite's locks.
struct DatabaseCopy {
    /// The file that is copied.
    let source: String
    /// The new file.
    let target: String
    /// Whether nothing may be written beside the source.
    ///
    /// A node's own database is not opened so: such a connection leaves an empty write-ahead log behind when it is the last one.
    var isReadOnly = false

    /// Makes the copy, readable by its owner alone.
    ///
    /// - Throws: ``StoreError``; the target is removed then, unless it was there before.
    func make() throws {
        // SQLite takes an empty file as the target. So the mode is set before anything is in the file.
        let descriptor = open(self.target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw DatabaseCopy.failure(errno, self.target) }
        close(descriptor)
        do {
            try DatabaseCopy.reading(self.source, isReadOnly: self.isReadOnly, writing: self.target) { db in
                try db.execute(sql: "VACUUM INTO ?", arguments: [self.target])
            }
        } catch {
            self.remove()
            throw error
        }
    }

    /// Runs `body`, which only reads, with a connection to a file.
    ///
    /// - Parameters:
    ///   - path: the file, which must exist.
    ///   - isReadOnly: see ``isReadOnly``.
    ///   - patience: how long to wait for other programs' transactions, in seconds.
    ///   - isCut: whether the file may be shorter than it says; the pages that are there can be read then.
    ///   - target: the file that `body` writes, for the messages of errors; `nil` when it writes none.
    ///   - body: what to read.
    /// - Returns: The result of `body`.
    /// - Throws: ``StoreError``, and what `body` throws.
    static func reading<Result>(
        _ path: String,
        isReadOnly: Bool = false,
        patience: Double = StoreDatabase.busyTimeoutSeconds,
        isCut: Bool = false,
        writing target: String? = nil,
        _ body: (Database) throws -> Result
    ) throws -> Result {
        try DatabaseCopy.mapping(reading: path, writing: target ?? path) {
            var configuration = DatabaseCopy.configuration(isReadOnly: isReadOnly, patience: patience)
            // With this setting SQLite does not compare the size of the file with its header.
            if isCut { configuration.prepareDatabase { try $0.execute(sql: "PRAGMA writable_schema = ON") } }
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            let result = try queue.writeWithoutTransaction(body)
            try queue.close()
            return result
        }
    }

    /// Changes the copy in one transaction.
    ///
    /// What is deleted is overwritten, so that no page of it stays in the file.
    func edit<Result>(_ body: (borrowing WriteTransaction) throws -> Result) throws -> Result {
        try DatabaseCopy.mapping(reading: self.source, writing: self.target) {
            let queue = try DatabaseQueue(
                path: self.target,
                configuration: DatabaseCopy.configuration(isReadOnly: false)
            )
            let result = try queue.writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA secure_delete = ON")
                let connection = try Connection(db)
                defer { connection.finalizeStatements() }
                // What is left out is no deletion of rows.
                try connection.disableTriggers()
                return try connection.write(.durable) { .durable(try body($0)) }
            }
            try queue.close()
            return result
        }
    }

    /// Writes into the copy as a program does, in one transaction: its triggers mark what is written.
    func write<Result>(_ body: (borrowing WriteTransaction) throws -> Result) throws -> Result {
        try DatabaseCopy.mapping(reading: self.source, writing: self.target) {
            let queue = try DatabaseQueue(
                path: self.target,
                configuration: DatabaseCopy.configuration(isReadOnly: false)
            )
            let result = try queue.writeWithoutTransaction { db in
                let connection = try Connection(db)
                defer { connection.finalizeStatements() }
                return try connection.write(.durable) { .durable(try body($0)) }
            }
            try queue.close()
            return result
        }
    }

    /// Brings the content of the copy and its entry in the directory to the disk.
    ///
    /// Call it when no connection has the copy open.
    func synchronize() throws {
        for path in [self.target, URL(fileURLWithPath: self.target).deletingLastPathComponent().path] {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw DatabaseCopy.failure(errno, path) }
            defer { close(descriptor) }
            // Some file systems refuse to synchronise a directory.
            guard fsync(descriptor) == 0 || errno == EINVAL else { throw DatabaseCopy.failure(errno, path) }
        }
    }

    /// Removes the copy and what belongs to it.
    func remove() {
        for suffix in ["", "-journal", "-wal", "-shm", "-numbers"] { unlink(self.target + suffix) }
    }

    private static func configuration(
        isReadOnly: Bool,
        patience: Double = StoreDatabase.busyTimeoutSeconds
    ) -> GRDB.Configuration {
        var configuration = GRDB.Configuration()
        configuration.readonly = isReadOnly
        configuration.foreignKeysEnabled = false
        configuration.busyMode = .timeout(patience)
        return configuration
    }

    // MARK: - Errors

    /// Runs `body`; an error of SQLite names the file that it concerns.
    static func mapping<Result>(reading source: String, writing target: String, _ body: () throws -> Result) throws
        -> Result
    {
        do {
            return try body()
        } catch let error as DatabaseError {
            throw self.failure(
                Int32(clamping: error.extendedResultCode.rawValue),
                error.message ?? "no reason given",
                reading: source,
                writing: target
            )
        } catch let failure as SQLiteFailure {
            throw self.failure(failure.code, failure.message, reading: source, writing: target)
        }
    }

    private static func failure(_ code: Int32, _ reason: String, reading source: String, writing target: String)
        -> StoreError
    {
        switch code & 0xff {
        case 5, 6: StoreError.locked
        case 11, 26:
            StoreError(
                code: .corrupt,
                message: "\(source) is damaged or no SQLite database (\(reason)): use another file."
            )
        case 13:
            StoreError(
                code: .diskFull,
                message: "The disk is full and \(target) cannot be written: make room or name another place."
            )
        case 3, 8, 14, 23:
            StoreError(
                code: .readOnly,
                message: "\(source) cannot be read or \(target) cannot be written (\(reason)): check their permissions."
            )
        default:
            StoreError(
                code: .database,
                message: "\(source) cannot be copied to \(target): SQLite reports '\(reason)' (code \(code))."
            )
        }
    }

    /// The error of an error number of the operating system.
    static func failure(_ code: Int32, _ path: String) -> StoreError {
        switch code {
        case ENOSPC, EDQUOT:
            StoreError(
                code: .diskFull,
                message: "The disk is full and \(path) cannot be written: make room or name another place."
            )
        case EEXIST:
            StoreError(
                code: .exists,
                message: "\(path) is there already, perhaps from an interrupted copy: remove it, then try again."
            )
        default:
            StoreError(
                code: .readOnly,
                message: "\(path) cannot be written (\(String(cString: strerror(code)))): name another place."
            )
        }
    }
}
