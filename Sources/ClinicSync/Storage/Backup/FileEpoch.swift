import ClinicSyncCore
package import ClinicSyncModel

/// The epoch of the data in a database file: the setting `epoch`.
///
/// It is the file's word, so whoever acts on it verifies its signature first.
package struct FileEpoch {
    /// The database.
    package let path: String

    /// Names a database, which nobody need have open.
    package init(path: String) { self.path = path }

    /// Reads the epoch; `nil` when the data has none, or none that can be read.
    ///
    /// - Throws: ``StoreError``.
    package func read() throws -> Epoch? {
        try DatabaseCopy.reading(self.path) { db in
            let connection = try Connection(db)
            defer { connection.finalizeStatements() }
            return try FileEpoch.read(on: connection)
        }
    }

    /// Gives the data an epoch, when the file has none of the clinic's data yet.
    ///
    /// So the file of a PC that has just joined need not be exchanged.
    ///
    /// - Returns: Whether the file had none.
    /// - Throws: ``StoreError``.
    package func begin(_ epoch: Epoch) throws -> Bool {
        try self.write { transaction in
            guard try FileEpoch.isUnused(on: transaction.connection) else { return false }
            try FileEpoch.set(epoch, in: transaction)
            return true
        }
    }

    /// Gives the data an epoch, whatever is in the file.
    ///
    /// - Throws: ``StoreError``.
    package func set(_ epoch: Epoch) throws {
        try self.write { try FileEpoch.set(epoch, in: $0) }
    }

    private func write<Result>(_ body: (borrowing WriteTransaction) throws -> Result) throws -> Result {
        try DatabaseCopy.reading(self.path) { db in
            let connection = try Connection(db)
            defer { connection.finalizeStatements() }
            return try connection.write(.durable) { .durable(try body($0)) }
        }
    }

    static func read(on connection: Connection) throws -> Epoch? {
        guard try connection.hasTable("clinicsync_setting") else { return nil }
        let statement = try Settings.read(.epoch, on: connection) { Array($0.blob(0)) }
        return statement.flatMap { Epoch(statement: $0) }
    }

    static func set(_ epoch: Epoch?, in transaction: borrowing WriteTransaction) throws {
        guard let epoch else { return try Settings.remove(.epoch, in: transaction) }
        try Settings.set(.epoch, to: .blob(epoch.statement), in: transaction)
    }

    /// Whether no node and no program has written any row into the file.
    private static func isUnused(on connection: Connection) throws -> Bool {
        let conditions = ["origin": "sequence > 0", "log": "1", "dirty": "1", "stage": "1"]
        return try conditions.allSatisfy { table, condition in
            guard try connection.hasTable("clinicsync_" + table) else { return true }
            let row = "SELECT 1 FROM clinicsync_\(table) WHERE \(condition) LIMIT 1"
            return try connection.query(row).first { _ in true } == nil
        }
    }
}
