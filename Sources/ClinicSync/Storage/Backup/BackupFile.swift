package import ClinicSyncModel
import GRDB
import Glibc

/// A file that a backup was made into, or another copy of a node's database.
package struct BackupFile: Sendable {
    /// What a file says of itself.
    package struct Content: Sendable, Hashable {
        /// The label; `nil` for a copy that another program made.
        package var label: BackupLabel?
        /// The node whose database was copied.
        package var node: NodeID
        /// Rows of the clinic's and the nodes' tables that replicate.
        package var rows: Int64
        /// Rows that programs had written, and that the node had not made a batch of.
        package var marks: Int64
        /// The number of batches that its data has.
        package var batches: UInt64
        /// The epoch of its data, unverified; `nil` when it has none.
        package var epoch: Epoch?
    }

    /// The file.
    package let path: String

    /// Names a file.
    package init(path: String) { self.path = path }

    // MARK: - Making

    /// Copies a node's database into the file, which must not exist, and checks the copy.
    ///
    /// The copy is made under a temporary name beside the file, checked, brought to the disk, and renamed. The write lock of the
    /// database is never taken. Call ``ReplicaWriter/prepareCopy()`` first, so that the copy has no marks.
    ///
    /// - Parameters:
    ///   - database: the node's database.
    ///   - label: what the backup says of itself.
    ///   - exclusions: the tables whose rows it leaves out.
    ///   - isAccepted: whether this copy is taken; with `false` the copy is removed.
    /// - Returns: What is in the file; `nil` when it was not accepted.
    /// - Throws: ``StoreError``; no file is left then.
    package func make(
        of database: String,
        label: BackupLabel,
        without exclusions: BackupExclusions,
        isAccepted: (Content) -> Bool = { _ in true }
    ) throws -> Content? {
        try self.requireVacant()
        let copy = DatabaseCopy(source: database, target: self.path + ".new")
        try copy.make()
        do {
            try copy.edit { transaction in
                try PrivateContent(exclusions: exclusions).remove(in: transaction)
                try label.write(in: transaction)
            }
            let content = try BackupFile(path: copy.target).examine()
            guard isAccepted(content) else {
                copy.remove()
                return nil
            }
            try copy.synchronize()
            try self.requireVacant()
            guard rename(copy.target, self.path) == 0 else { throw DatabaseCopy.failure(errno, self.path) }
            try DatabaseCopy(source: database, target: self.path).synchronize()
            return content
        } catch {
            copy.remove()
            throw error
        }
    }

    private func requireVacant() throws {
        var information = stat()
        guard lstat(self.path, &information) != 0 else {
            throw StoreError(code: .exists, message: "\(self.path) is there already: name a file that does not exist.")
        }
    }

    // MARK: - Checking

    /// Reads the whole file and checks it.
    ///
    /// - Parameter schema: the schema of this program.
    /// - Returns: What the file says of itself.
    /// - Throws: ``StoreError`` when the file is missing, damaged, or no copy of a node's database;
    ///   ``SchemaError/newerDatabase(migration:)``.
    package func examine(schema: StoreSchema = .clinic) throws -> Content {
        var information = stat()
        guard stat(self.path, &information) == 0 else {
            throw StoreError(
                code: .missing,
                message: "\(self.path) cannot be read (\(String(cString: strerror(errno)))): name the file of a backup."
            )
        }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw StoreError(code: .missing, message: "\(self.path) is no file: name the file of a backup.")
        }
        return try DatabaseCopy.reading(self.path, isReadOnly: true) { db in
            let verdict = try String.fetchOne(db, sql: "PRAGMA integrity_check(1)") ?? "no answer"
            guard verdict == "ok" else {
                throw StoreError(code: .corrupt, message: "\(self.path) is damaged (\(verdict)): use another backup.")
            }
            let connection = try Connection(db)
            defer { connection.finalizeStatements() }
            for table in ["setting", "origin", "row", "log", "digest", "dirty", "table"] {
                guard try connection.hasTable("clinicsync_" + table) else { throw self.foreign }
            }
            try ClinicMigrator(schema.migrations).checkIsNotNewer(db)
            let owner = try Settings.read(.node, on: connection) { $0.string(0) }
            guard let node = owner.flatMap({ NodeID($0) }) else { throw self.foreign }
            return Content(
                label: try BackupLabel.read(on: connection),
                node: node,
                rows: try connection.query("SELECT count(*) FROM clinicsync_row").first { $0.int64(0) } ?? 0,
                marks: try connection.query("SELECT count(*) FROM clinicsync_dirty").first { $0.int64(0) } ?? 0,
                batches: try BackupFile.batches(on: connection),
                epoch: try FileEpoch.read(on: connection)
            )
        }
    }

    private static func batches(on connection: Connection) throws -> UInt64 {
        var sum: UInt64 = 0
        try connection.query("SELECT sequence FROM clinicsync_origin").forEach { row in
            let (total, isTooLarge) = sum.addingReportingOverflow(UInt64(clamping: row.int64(0)))
            sum = isTooLarge ? .max : total
        }
        return min(sum, UInt64(Int64.max))
    }

    private var foreign: StoreError {
        StoreError(
            code: .wrongNode,
            message: "\(self.path) is no copy of a node's database: name a file that 'clinic-node backup' made."
        )
    }
}
