import ClinicSyncCore
package import ClinicSyncModel
import Foundation
import GRDB
import Glibc

/// Puts a backup in the place of a node's database, and merges into it what the database has and the backup lacks.
///
/// The node must be stopped. Nothing changes at the path before the new file is complete. The database that is there stays
/// under another name. See `docs/design/0026-backup.md`.
package struct FileRestore {
    /// What became of the files.
    package struct Outcome: Sendable, Hashable {
        /// Where the database is that was there before; `nil` when there was none.
        package var aside: String?
        /// The number of batches that the database had and the backup lacked.
        package var batches = 0
        /// The number of places in the log of the database that could not be read.
        package var unreadable = 0
        /// The number of rows that programs had written, that were in no batch, and that were taken over one by one.
        package var rows = 0
        /// Why the database could not be opened, and what of programs' last changes is in it alone; `nil` when nothing is.
        package var lost: String?
        /// The number of this node's own batches in the database that no other node is known to have.
        package var unshared: UInt64 = 0
    }

    /// The node's database.
    package let path: String
    /// The node.
    package let node: NodeID
    /// The tables whose rows are left out.
    package let exclusions: BackupExclusions
    /// The greatest epoch that the node knows; counts when the database cannot say its own.
    package let epoch: Epoch?
    /// The schema of this program.
    package let schema: StoreSchema
    /// This PC's time, milliseconds since 1970.
    package let wallClock: @Sendable () -> Int64
    private var takesCounters = true
    /// Called before each change of the files; tests look at what a crash at that moment leaves.
    package var willChange: () -> Void = {}
    private var restored: String { self.path + ".restoring" }

    private func store(at path: String) -> StoppedStore {
        StoppedStore(path: path, node: self.node, schema: self.schema, wallClock: self.wallClock)
    }

    /// Prepares a restore of the database at `path`.
    package init(
        path: String,
        node: NodeID,
        exclusions: BackupExclusions,
        epoch: Epoch? = nil,
        schema: StoreSchema = .clinic,
        wallClock: @escaping @Sendable () -> Int64
    ) {
        self.path = path
        self.node = node
        self.exclusions = exclusions
        self.epoch = epoch
        self.schema = schema
        self.wallClock = wallClock
    }

    /// Restores `backup`, which was examined before.
    ///
    /// - Throws: ``StoreError``, ``SchemaError``; the database is as before then.
    package func run(_ backup: BackupFile) throws -> Outcome {
        // Counters in a backup may have others' increments, so a program's total is no edit of what it has.
        var restore = self
        restore.takesCounters = false
        return try restore.replace { copy in
            try DatabaseCopy(source: backup.path, target: copy, isReadOnly: true).make()
        }
    }

    /// Puts `backup`, which was examined before, in the place of the database, and begins `epoch` with it: nothing of the database
    /// is merged.
    ///
    /// - Throws: ``StoreError``, ``SchemaError``; the database is as before then.
    package func begin(_ epoch: Epoch, with backup: BackupFile) throws -> Outcome {
        try self.replace(beginning: epoch) { copy in
            try DatabaseCopy(source: backup.path, target: copy, isReadOnly: true).make()
        }
    }

    /// Puts a database without rows in the place of the database, for the rows of `epoch`, which come from the other nodes.
    ///
    /// Nothing of the database is merged.
    ///
    /// - Throws: ``StoreError``, ``SchemaError``; the database is as before then. ``StoreError/Code/locked`` when another program has
    ///   the database open.
    package func follow(_ epoch: Epoch) throws -> Outcome {
        try self.replace(beginning: epoch) { try self.create(at: $0) }
    }

    private func create(at path: String) throws {
        try SQLiteReplicaStore.create(
            at: URL(fileURLWithPath: path),
            origin: Origin(node: self.node),
            isJoining: true
        )
    }

    /// Puts a database without rows in the place of one that cannot be opened: the rows come from the other nodes.
    ///
    /// - Throws: ``StoreError``, ``SchemaError``; nothing has changed then. A disk that damages every file must not be filled:
    ///   the node refuses when it has set aside ``asideMax`` files within a day.
    package func rebuild() throws -> Outcome {
        let since = self.wallClock() - FileRestore.day
        guard try self.asides().count(where: { $0 > since }) < FileRestore.asideMax else {
            throw StoreError(
                code: .corrupt,
                message:
                    "The database clinic.db cannot be used, again after it was made again today: replace the disk, "
                    + "then restore a backup with 'clinic-node restore FILE', or join again."
            )
        }
        return try self.replace { try self.create(at: $0) }
    }

    /// The files that a rebuild may set aside within a day.
    static let asideMax = 3
    private static let day: Int64 = 86_400_000

    /// The times at which former databases were set aside.
    private func asides() throws -> [Int64] {
        let url = URL(fileURLWithPath: self.path)
        let prefix = url.lastPathComponent + FileRestore.asideSuffix
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: url.deletingLastPathComponent().path)
        } catch {
            throw StoreError(code: .readOnly, message: "The directory of \(self.path) cannot be read: \(error)")
        }
        return names.filter { $0.hasPrefix(prefix) }.compactMap { Int64($0.dropFirst(prefix.count)) }
    }

    private static let asideSuffix = ".set-aside-"

    /// Makes a new database by `make`, and puts it in the former one's place.
    ///
    /// Merges the log of the former one into it, unless it begins an epoch.
    private func replace(beginning epoch: Epoch? = nil, _ make: (String) throws -> Void) throws -> Outcome {
        var outcome = Outcome()
        let isThere = FileManager.default.fileExists(atPath: self.path)
        if isThere { try self.requireAlone() }
        let copy = DatabaseCopy(source: self.path, target: self.restored)
        // What an interrupted restore has left.
        copy.remove()
        do {
            self.willChange()
            try make(self.restored)
            self.willChange()
            let former = self.collectFormer(&outcome)
            self.willChange()
            try copy.edit { transaction in
                try self.own(term: former?.term ?? 0, in: transaction)
                try FileEpoch.set(epoch ?? (former.map(\.epoch) ?? self.epoch), in: transaction)
            }
            self.willChange()
            try self.merge(&outcome, from: epoch == nil ? former : nil)
            self.willChange()
            try self.keepOwner()
            try copy.synchronize()
            outcome.aside = try self.exchange(isThere: isThere)
            return outcome
        } catch {
            copy.remove()
            throw error
        }
    }

    // MARK: - The present database

    private func requireAlone() throws {
        guard try FileLook(path: self.path).isAlone() else {
            throw StoreError(
                code: .locked,
                message: "Another program has \(self.path) open: close it, then try again."
            )
        }
    }

    /// A database of this node whose log is read.
    private struct Former {
        var path: String
        /// The epoch of its data; the greatest known when it cannot be read.
        var epoch: Epoch?
        /// The term that it knows; 0 when it cannot be read.
        var term: UInt64 = 0
        /// Whether it may have rows that are in no batch.
        var hasUnlogged = false
    }

    /// The database from which batches are taken: the one at the path, or what a run saved when the file was deleted under it.
    ///
    /// Makes batches of what programs wrote last, so that it is in the log.
    private func collectFormer(_ outcome: inout Outcome) -> Former? {
        let found = [self.path, self.path + ".rescued"].first { FileManager.default.fileExists(atPath: $0) }
        guard var former = found.map({ Former(path: $0, epoch: self.epoch) }) else { return nil }
        do {
            // Before anything reads the file: beside the log of another time it would read a mixture.
            _ = try StaleLog(databasePath: former.path).setAside(at: self.wallClock())
            let (owner, epoch) = try DatabaseCopy.reading(former.path) { db in
                let connection = try Connection(db)
                defer { connection.finalizeStatements() }
                guard try connection.hasTable("clinicsync_setting") else { return (String?.none, Epoch?.none) }
                let owner = try Settings.read(.node, on: connection) { $0.string(0) }
                let copied = try FileEpoch(path: self.path).copied(for: self.node, on: connection)
                return (owner, try FileEpoch.read(on: connection) ?? copied)
            }
            guard owner == self.node.description else {
                outcome.lost = "\(former.path) is no database of this node"
                return nil
            }
            former.epoch = epoch
            (former.term, outcome.unshared) = try self.store(at: former.path).run { writer in
                let (state, own) = (try writer.state(), writer.origin)
                let (number, shared) = (state.vector[own], state.acknowledgedByHost)
                return (state.term, number > shared ? number - shared : 0)
            }
            if former.path != self.path { unlink(former.path + "-numbers") }
        } catch {
            // The log of a damaged file may be readable all the same, and the rows that programs wrote last.
            guard let failure = error as? StoreError, failure.code == .corrupt else {
                outcome.lost = "\(error)" + self.marks(in: former.path)
                return nil
            }
            outcome.lost = "\(error)"
            former.hasUnlogged = true
        }
        return former
    }

    /// Says how many rows the log of a database lacks, if that can be read.
    private func marks(in path: String) -> String {
        let counted = Swift.Result {
            try DatabaseCopy.reading(path) { try Int.fetchOne($0, sql: "SELECT count(*) FROM clinicsync_dirty") }
        }
        guard case .success(let count?) = counted else { return "" }
        return " Rows that programs wrote and its log lacks: \(count)."
    }

    /// Takes over what programs wrote last into a database that cannot be opened, as far as it can be read.
    private func salvageRows(of former: Former, into writer: ReplicaWriter, _ outcome: inout Outcome) throws {
        var salvage = RowSalvage(plans: writer.plans, takesCounters: self.takesCounters)
        let result = Swift.Result {
            try DatabaseCopy.reading(former.path, isCut: true) { db in
                let source = try Connection(db)
                defer { source.finalizeStatements() }
                return try DatabaseCopy(source: former.path, target: self.restored).write { transaction in
                    try salvage.run(from: source, into: transaction)
                }
            }
        }
        guard case .success(let rows) = result else {
            outcome.lost = (outcome.lost ?? "") + " Rows that programs wrote last cannot be read."
            return
        }
        outcome.rows = rows.taken
        let rest = rows.isWhole ? "\(rows.left)" : "\(rows.left) or more"
        outcome.lost =
            (outcome.lost ?? "")
            + " Of the rows that programs wrote last \(rows.taken) were taken over, \(rest) were not."
        while try writer.collect(clockOffsetMilliseconds: 0).hasMore {}
    }

    // MARK: - The restored database

    /// Makes the copy a database of this node.
    private func own(term: UInt64, in transaction: borrowing WriteTransaction) throws {
        try PrivateContent(exclusions: self.exclusions).remove(in: transaction)
        try Settings.remove(.backup, in: transaction)
        try Settings.set(.node, to: .string(self.node.description), in: transaction)
        // A node that forgot a term could claim it a second time.
        if try Term.recorded(on: transaction.connection) < term { try Term.record(term, in: transaction) }
    }

    /// Merges the batches of the log of `former` that the copy lacks.
    private func merge(_ outcome: inout Outcome, from former: Former?) throws {
        let (batches, unreadable) = try self.store(at: self.restored).run { writer in
            guard let former else { return (0, 0) }
            var batches: Set<BatchID> = []
            var refused = 0
            let unread = Swift.Result {
                try LogSalvage(path: former.path).read { chunks in
                    let vector = try writer.state().vector
                    let lacking = chunks.filter { vector[$0.batch.origin] < $0.batch.sequence }
                    refused += try self.store(lacking, in: writer)
                    batches.formUnion(lacking.map(\.batch))
                }
            }
            if former.hasUnlogged { try self.salvageRows(of: former, into: writer, &outcome) }
            do {
                return (batches.count, try unread.get() + refused)
            } catch let error as StoreError where error.code != .diskFull {
                // Nothing at all can be read.
                return (batches.count, refused &+ 1)
            }
        }
        outcome.batches = batches
        outcome.unreadable = unreadable
    }

    /// Stores chunks, and applies the batches that are complete.
    ///
    /// - Returns: The number of chunks that the store does not take.
    private func store(_ chunks: [BatchChunk], in writer: ReplicaWriter) throws -> Int {
        guard !chunks.isEmpty else { return 0 }
        do {
            var outcome = try writer.store(chunks, clockOffsetMilliseconds: 0)
            while outcome.isApplyPending { outcome = try writer.applyStored(clockOffsetMilliseconds: 0) }
            return 0
        } catch let error where error is MalformedChunk || error is ForkedBatch {
            guard chunks.count > 1 else { return 1 }
            return try chunks.reduce(0) { try $0 + self.store([$1], in: writer) }
        }
    }

    // MARK: - Files

    /// Gives the new files the owner and the mode of the database, or those of a new database in its directory.
    private func keepOwner() throws {
        var information = stat()
        let isThere = stat(self.path, &information) == 0
        guard isThere || stat(URL(fileURLWithPath: self.path).deletingLastPathComponent().path, &information) == 0
        else {
            throw DatabaseCopy.failure(errno, self.path)
        }
        for path in [self.restored, self.restored + "-numbers"] {
            if geteuid() == 0, chown(path, information.st_uid, information.st_gid) != 0 {
                throw DatabaseCopy.failure(errno, path)
            }
        }
        let mode = isThere ? information.st_mode & 0o777 : DatabaseFileMode.forNewFile(at: self.path)
        guard chmod(self.restored, mode) == 0 else {
            throw DatabaseCopy.failure(errno, self.restored)
        }
    }

    /// Gives the restored database its name, and the former one another.
    private func exchange(isThere: Bool) throws -> String? {
        guard !FileManager.default.fileExists(atPath: self.restored + "-wal") else {
            throw StoreError(
                code: .locked,
                message: "Another program has \(self.restored) open: close it, then try again."
            )
        }
        let aside = self.freeName()
        // A program may have opened the file since.
        if isThere { try self.requireAlone() }
        self.willChange()
        if isThere { try self.link(self.path, as: aside) }
        // Only a file that could not be opened has a log now. The log goes before the new file comes: beside it SQLite would read
        // a mixture. After a crash in between the damaged file is found again.
        for suffix in ["-wal", "-journal"] where FileManager.default.fileExists(atPath: self.path + suffix) {
            self.willChange()
            guard rename(self.path + suffix, aside + suffix) == 0 else {
                throw DatabaseCopy.failure(errno, aside + suffix)
            }
        }
        self.willChange()
        unlink(self.path + "-shm")
        guard rename(self.restored, self.path) == 0 else { throw DatabaseCopy.failure(errno, self.path) }
        self.willChange()
        // Without this step the node would begin one more incarnation.
        _ = rename(self.restored + "-numbers", self.path + "-numbers")
        try DatabaseCopy(source: self.path, target: self.path).synchronize()
        return isThere ? aside : nil
    }

    /// A name for the former database that no file has.
    private func freeName() -> String {
        var milliseconds = self.wallClock()
        while true {
            let name = "\(self.path)\(FileRestore.asideSuffix)\(milliseconds)"
            let isTaken = ["", "-wal", "-journal"].contains { FileManager.default.fileExists(atPath: name + $0) }
            guard isTaken else { return name }
            milliseconds &+= 1
        }
    }

    /// Gives a file a second name, so that it has a name at every moment.
    private func link(_ path: String, as name: String) throws {
        if Glibc.link(path, name) == 0 { return }
        // Some file systems have no second names.
        guard rename(path, name) == 0 else { throw DatabaseCopy.failure(errno, name) }
    }
}
