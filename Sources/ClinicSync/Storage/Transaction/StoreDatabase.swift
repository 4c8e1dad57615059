import ClinicSyncModel
import Foundation
package import GRDB

/// The connections of one store.
///
/// Three connections, each behind GRDB's serial queue: one writes; one holds read snapshots for the collector while the writer
/// writes slices; one reads for peers and people meanwhile. A store in memory has one connection for all three.
package struct StoreDatabase: Sendable {
    /// Writes.
    let writer: DatabaseQueue
    /// Holds the collector's snapshots; `nil` in memory.
    let snapshots: DatabaseQueue?
    /// Reads.
    let reader: DatabaseQueue
    /// How long a write transaction waits for other programs' transactions; `nil`: ``busyTimeoutSeconds``.
    let lockWait: (any LockWait)?
    /// Learns of the writing connection's syncs; `nil`: nobody does.
    let syncWatch: (any SyncWatch)?

    /// How long a connection waits for another process's write transaction.
    package static let busyTimeoutSeconds: Double = 30
    /// The same in milliseconds.
    static let busyTimeoutMilliseconds: Int32 = 30_000

    /// Bytes of a page, half of SQLite's default.
    ///
    /// Each statement that fires a trigger inside a transaction saves the pages it changes; SQLite keeps 64 KiB of that in
    /// memory, and one statement with more sends everything to a temporary file until the transaction ends. Smaller pages
    /// stay below: bulk imports of programs cost much less (`docs/design/0001-capture.md`).
    static let pageBytes = 2_048

    /// Opens the file at `path`, which must exist.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - lockWait: how long a write transaction waits for other programs' transactions; `nil`: 30 s.
    ///   - syncWatch: learns of the writing connection's syncs.
    ///   - patience: how long, in seconds, a migration waits for other programs' transactions.
    /// - Returns: The database.
    /// - Throws: ``StoreError`` when the file is missing, damaged, or not writable.
    package static func open(
        path: String,
        lockWait: (any LockWait)? = nil,
        syncWatch: (any SyncWatch)? = nil,
        patience: Double = StoreDatabase.busyTimeoutSeconds
    ) throws -> StoreDatabase {
        guard FileManager.default.fileExists(atPath: path) else { throw StoreError.missing }
        return try self.connect(to: path, lockWait: lockWait, syncWatch: syncWatch, patience: patience)
    }

    /// Opens what SQLite finds under `name`, a path or a URI; makes the file if there is none.
    ///
    /// - Throws: ``StoreError`` when the file is damaged or not writable.
    package static func connect(
        to name: String,
        lockWait: (any LockWait)? = nil,
        syncWatch: (any SyncWatch)? = nil,
        patience: Double = StoreDatabase.busyTimeoutSeconds
    ) throws -> StoreDatabase {
        try StoreError.mapping {
            var configuration = self.configuration(isFile: true)
            configuration.busyMode = .timeout(patience)
            let writer = try DatabaseQueue(path: name, configuration: configuration)
            return StoreDatabase(
                writer: writer,
                snapshots: try DatabaseQueue(path: name, configuration: self.configuration(isFile: true)),
                reader: try DatabaseQueue(path: name, configuration: self.configuration(isFile: true)),
                lockWait: lockWait,
                syncWatch: syncWatch
            )
        }
    }

    /// Makes the file at `path`, which must not exist.
    package static func create(path: String) throws -> StoreDatabase {
        guard !FileManager.default.fileExists(atPath: path) else { throw StoreError.exists }
        return try StoreError.mapping {
            let writer = try DatabaseQueue(path: path, configuration: self.configuration(isFile: true))
            return StoreDatabase(writer: writer, snapshots: nil, reader: writer)
        }
    }

    /// A database in memory, for the simulator.
    package static func inMemory() throws -> StoreDatabase {
        let queue = try DatabaseQueue(configuration: self.configuration(isFile: false))
        return StoreDatabase(writer: queue, snapshots: nil, reader: queue)
    }

    /// Takes an open connection for all purposes, for the simulator, whose programs write through it too.
    package init(single queue: DatabaseQueue) {
        self.init(writer: queue, snapshots: nil, reader: queue)
    }

    init(
        writer: DatabaseQueue,
        snapshots: DatabaseQueue?,
        reader: DatabaseQueue,
        lockWait: (any LockWait)? = nil,
        syncWatch: (any SyncWatch)? = nil
    ) {
        self.lockWait = lockWait
        self.syncWatch = syncWatch
        self.writer = writer
        self.snapshots = snapshots
        self.reader = reader
    }

    /// Copies the database as it is now into a new file, readable by its owner alone.
    ///
    /// - Returns: Whether the copy was made; a file that is there already is left alone.
    func copy(to path: String) -> Bool {
        // SQLite accepts an empty file as the target. So the mode is set before anything is in the file.
        guard !FileManager.default.fileExists(atPath: path),
            FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600])
        else { return false }
        let made = Result {
            try self.writer.writeWithoutTransaction { try $0.execute(sql: "VACUUM INTO ?", arguments: [path]) }
        }
        if case .success = made { return true }
        _ = Result { try FileManager.default.removeItem(atPath: path) }
        return false
    }

    /// Closes all connections.
    package func close() throws {
        try self.snapshots?.close()
        if self.reader !== self.writer { try self.reader.close() }
        try self.writer.close()
    }

    /// Makes the statements that run now fail; from any thread.
    package func interrupt() {
        for queue in [self.writer, self.reader] { queue.interrupt() }
        self.snapshots?.interrupt()
    }

    /// The configuration of every connection of the node: foreign keys off, because replicated rows may arrive before
    /// their parents and deletions carry their cascades with them.
    package static func configuration(isFile: Bool) -> GRDB.Configuration {
        var configuration = GRDB.Configuration()
        configuration.foreignKeysEnabled = false
        configuration.busyMode = .timeout(self.busyTimeoutSeconds)
        configuration.journalMode = isFile ? .wal : .default
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA recursive_triggers = OFF")
            // Has an effect on a file that is still empty: the pages of every database are made here.
            if isFile { try db.execute(sql: "PRAGMA page_size = \(self.pageBytes)") }
            // For migrations; a write transaction of the store sets it for itself (see `Durability`).
            if isFile { try db.execute(sql: "PRAGMA synchronous = FULL") }
        }
        return configuration
    }
}
