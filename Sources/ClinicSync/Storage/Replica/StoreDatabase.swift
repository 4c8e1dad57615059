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

    /// How long a connection waits for another process's write transaction.
    static let busyTimeoutSeconds: Double = 30

    /// Bytes of a page, half of SQLite's default.
    ///
    /// Each statement that fires a trigger inside a transaction saves the pages it changes; SQLite keeps 64 KiB of that in
    /// memory, and one statement with more sends everything to a temporary file until the transaction ends. Smaller pages
    /// stay below: bulk imports of programs cost much less (`docs/design/0001-capture.md`).
    static let pageBytes = 2_048

    /// Opens the file at `path`, which must exist.
    ///
    /// - Throws: ``StoreError`` when the file is missing, damaged, or not writable.
    package static func open(path: String) throws -> StoreDatabase {
        guard FileManager.default.fileExists(atPath: path) else { throw StoreError.missing }
        return try StoreError.mapping {
            let writer = try DatabaseQueue(path: path, configuration: self.configuration(isFile: true))
            return StoreDatabase(
                writer: writer,
                snapshots: try DatabaseQueue(path: path, configuration: self.configuration(isFile: true)),
                reader: try DatabaseQueue(path: path, configuration: self.configuration(isFile: true))
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

    init(writer: DatabaseQueue, snapshots: DatabaseQueue?, reader: DatabaseQueue) {
        self.writer = writer
        self.snapshots = snapshots
        self.reader = reader
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
            // A lost tail of applied batches is fetched again; own batches are made under FULL (see the collector).
            if isFile { try db.execute(sql: "PRAGMA synchronous = NORMAL") }
        }
        return configuration
    }
}

/// Why a store cannot be opened or cannot go on.
///
/// The message is one sentence that says what to do.
package struct StoreError: Error, Hashable, CustomStringConvertible {
    /// The kind of trouble.
    package enum Code: Sendable, Hashable {
        /// There is no database file.
        case missing
        /// There is a database file already.
        case exists
        /// The file is no database, or damaged.
        case corrupt
        /// No space is left.
        case diskFull
        /// The file or its directory cannot be written.
        case readOnly
        /// The file was made by a newer program.
        case newerDatabase
        /// The manifest and the tables contradict each other.
        case schema
        /// The file belongs to another node.
        case wrongNode
        /// Anything else SQLite says.
        case database
    }

    /// The kind of trouble.
    package var code: Code
    /// One sentence.
    package var message: String

    /// Makes an error.
    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    /// The message.
    package var description: String { self.message }

    /// There is no database file.
    package static let missing = StoreError(
        code: .missing,
        message:
            "The database clinic.db is missing: restore it from a backup, or make the node anew with 'clinic-node join'."
    )

    /// There is a database file already.
    package static let exists = StoreError(
        code: .exists,
        message: "A database clinic.db is already there: choose another directory."
    )

    /// Runs `body` and turns what SQLite says into an error for people.
    package static func mapping<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as DatabaseError {
            throw StoreError(code: Int32(error.extendedResultCode.rawValue), message: error.message ?? "unknown")
        } catch let failure as SQLiteFailure {
            throw StoreError(code: failure.code, message: failure.message)
        }
    }

    /// The error of an SQLite result code.
    package init(code: Int32, message: String) {
        switch code & 0xff {
        case 26, 11:
            self.init(
                code: .corrupt,
                message:
                    "The database clinic.db is damaged or no SQLite file (\(message)): restore it from a backup, or join anew."
            )
        case 13:
            self.init(
                code: .diskFull,
                message: "The disk is full: free some space; nothing was lost and work goes on by itself."
            )
        case 8, 14, 3, 23:
            self.init(
                code: .readOnly,
                message:
                    "The database cannot be written (\(message)): check the permissions of clinic.db and its directory."
            )
        default:
            self.init(
                code: .database,
                message:
                    "SQLite reports '\(message)' (code \(code)): check the disk and the log, then start the node again."
            )
        }
    }
}
