import ClinicSyncCore
package import ClinicSyncModel
import Foundation

/// The epoch of the data in a database file: the setting `epoch`.
///
/// It is the file's word, so whoever acts on it verifies its signature first. A program or a disk may have removed or damaged the
/// setting, and data without an epoch is set aside. So the file beside the database that has the highest number used
/// (``NumberWitness``) has a copy, behind the number, with the incarnation in which the node worked under this epoch.
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
    /// The opening of a store makes the table of settings again that a program has dropped; until then nothing is written.
    ///
    /// - Throws: ``StoreError``.
    package func set(_ epoch: Epoch) throws {
        try self.write { transaction in
            guard try transaction.connection.hasTable("clinicsync_setting") else { return }
            try FileEpoch.set(epoch, in: transaction)
        }
    }

    // MARK: - The copy beside the file

    /// Where the copy begins in its file.
    private static let copyOffset = NumberWitness.bytes

    private var copyPath: String { self.path + "-numbers" }

    /// Notes the epoch of a database that a node of this incarnation has opened.
    ///
    /// A failure is ignored: the copy is an additional safety check.
    package func note(_ epoch: Epoch, incarnation: UInt32) {
        var writer = ByteWriter()
        writer.fixed64(UInt64(clamping: incarnation))
        writer.raw(epoch.statement)
        guard let file = FileHandle(forUpdatingAtPath: self.copyPath) else { return }
        _ = Swift.Result {
            // Without a number before it the copy would stand for one.
            guard try file.seekToEnd() >= FileEpoch.copyOffset else { return }
            try file.seek(toOffset: UInt64(clamping: FileEpoch.copyOffset))
            try file.write(contentsOf: writer.bytes)
            try file.truncate(atOffset: UInt64(clamping: FileEpoch.copyOffset + writer.bytes.count))
            try file.close()
        }
    }

    /// The epoch that the copy names, of a database that has none, or none that can be believed.
    ///
    /// - Parameter node: the node.
    /// - Returns: `nil` when there is no copy, and when the database is not the one of the copy: it does not know the
    ///   incarnation in which the node worked under the epoch, so it is of a time before.
    /// - Throws: ``StoreError``.
    package func copied(for node: NodeID) throws -> Epoch? {
        try DatabaseCopy.reading(self.path) { db in
            let connection = try Connection(db)
            defer { connection.finalizeStatements() }
            return try self.copied(for: node, on: connection)
        }
    }

    func copied(for node: NodeID, on connection: Connection) throws -> Epoch? {
        guard let content = FileManager.default.contents(atPath: self.copyPath),
            let (incarnation, epoch) = FileEpoch.decoded(Array(content.dropFirst(FileEpoch.copyOffset))),
            try connection.hasTable("clinicsync_origin")
        else { return nil }
        let isKnown =
            try connection
            .query("SELECT 1 FROM clinicsync_origin WHERE node = ?1 AND incarnation = ?2")
            .bind(1, blob: node.storedBytes)
            .bind(2, incarnation)
            .first { _ in true }
        return isKnown == nil ? nil : epoch
    }

    private static func decoded(_ copy: [UInt8]) -> (incarnation: UInt32, epoch: Epoch)? {
        let result = Swift.Result {
            try copy.withUnsafeBytes { bytes in
                var reader = ByteReader(bytes)
                let incarnation = try reader.fixed64()
                return (incarnation, Array(bytes.dropFirst(8)))
            }
        }
        guard case .success(let (number, statement)) = result, let incarnation = UInt32(exactly: number),
            let epoch = Epoch(statement: statement)
        else { return nil }
        return (incarnation, epoch)
    }

    // MARK: - The setting

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
        // Rows of the schema itself have the stamp 0.
        let conditions = ["origin": "sequence > 0", "row": "timestamp > 0", "log": "1", "dirty": "1", "stage": "1"]
        return try conditions.allSatisfy { table, condition in
            // A program has dropped what is missing.
            guard try connection.hasTable("clinicsync_" + table) else { return false }
            let row = "SELECT 1 FROM clinicsync_\(table) WHERE \(condition) LIMIT 1"
            return try connection.query(row).first { _ in true } == nil
        }
    }
}
