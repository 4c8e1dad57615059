package import ClinicSyncModel
package import Foundation

/// Makes the database file of a new node.
package enum SQLiteReplicaStore {
    /// Creates `url` with all tables, seed rows and triggers.
    ///
    /// The file is its owner's alone, or also its group's in a directory that a group shares (``DatabaseFileMode``).
    ///
    /// `isJoining`: the node joins a clinic whose other nodes may have older programs.
    ///
    /// - Throws: ``StoreError``, ``SchemaError``; a file that was begun is removed again.
    package static func create(at url: URL, origin: Origin, isJoining: Bool = false) throws {
        guard !FileManager.default.fileExists(atPath: url.path) else { throw StoreError.exists }
        // The mode is set before anything is in the file; SQLite gives the -wal and -shm files the same one.
        guard DatabaseFileMode.createFile(at: url.path) else {
            throw StoreError(
                code: .readOnly,
                message: "The database \(url.path) cannot be created: check the permissions of its directory."
            )
        }
        do {
            let wall = Int64(Date().timeIntervalSince1970 * 1_000)
            let database = try StoreDatabase.open(path: url.path)
            let place = try StorePlace.of(databasePath: url.path)
            let writer = try ReplicaWriter(
                database: database,
                origin: origin,
                place: place,
                isJoining: isJoining
            ) { wall }
            // The marks that opening made compare the seed rows with what is known of them; nothing comes of it.
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            try writer.close()
        } catch {
            for suffix in ["", "-wal", "-shm", "-numbers"] {
                // What is not there need not be removed; what cannot be removed is reported by the error that is thrown.
                _ = Result { try FileManager.default.removeItem(atPath: url.path + suffix) }
            }
            throw error
        }
    }
}
