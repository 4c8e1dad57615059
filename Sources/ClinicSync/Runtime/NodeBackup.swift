import ClinicSyncClinic
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import Glibc

/// Makes backups of a node's database, and restores them.
///
/// `docs/design/0026-backup.md` has the reasons.
package struct NodeBackup {
    /// The answer of `clinic-node backup --json`.
    package struct Made: Sendable, Encodable {
        /// The file.
        package var file: String
        /// Its size.
        package var bytes: Int64
        /// The number of rows in it, those of the nodes' own tables included.
        package var rows: Int64
        /// The number of rows in it that programs wrote so shortly before that they may come twice after a restore; mostly 0.
        package var uncollected: Int64
        /// When it was made, in UTC.
        package var madeAt: UTCTimestamp
    }

    /// The answer of `clinic-node restore --json`.
    package struct Restored: Sendable, Encodable {
        /// The backup.
        package var file: String
        /// When the backup was made, in UTC; `nil` for a copy that another program made.
        package var madeAt: UTCTimestamp?
        /// Where the former database is; `nil` when there was none.
        package var aside: String?
        /// The number of batches of the former database that were merged into the restored one.
        package var mergedBatches: Int
        /// The number of places in the log of the former database that could not be read.
        package var unreadable: Int
        /// Why the last changes of programs in the former database could not be taken over; `nil` when they were.
        package var notTakenOver: String?
        /// Whether the backup is of the data before the whole clinic was brought back: all of it is in the clinic again then.
        package var isOfFormerEpoch: Bool
    }

    let directory: NodeDirectory
    let identity: NodeIdentity
    let file: BackupFile
    let clock: NodeClock

    /// Prepares a backup or a restore of the node in `directory`, with the file at `path`.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notANode`, `corrupt`, or `usage` for a file of the node itself.
    package init(directory: NodeDirectory, path: String, clock: NodeClock = NodeClock()) throws {
        self.directory = directory
        self.identity = try directory.identity()
        self.file = BackupFile(path: URL(fileURLWithPath: path).standardizedFileURL.path)
        self.clock = clock
        guard !self.isOwnFile else {
            throw ClinicSyncError(
                .usage,
                "\(self.file.path) is a file of the node itself: name a file outside of \(directory.url.path)."
            )
        }
    }

    /// Whether the named file is one that the node uses, under whatever name.
    private var isOwnFile: Bool {
        let database = self.directory.databaseURL.path
        return ["", "-wal", "-shm", "-journal", "-numbers", ".restoring"].contains { suffix in
            if self.file.path == database + suffix { return true }
            guard let own = NodeBackup.identity(of: database + suffix),
                let named = NodeBackup.identity(of: self.file.path)
            else { return false }
            return own == named
        }
    }

    /// Device and number of the file at `path`, behind links; `nil` when there is none.
    private static func identity(of path: String) -> [NSNumber]? {
        let file = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: file) else { return nil }
        return [attributes[.systemNumber], attributes[.systemFileNumber]].compactMap { $0 as? NSNumber }
    }

    // MARK: - Making a backup

    /// How often the copy is made again because programs wrote at its moment.
    private static let attemptsMax = 5

    /// Makes the backup, while the node runs or not.
    ///
    /// - Throws: ``ClinicSyncError``; no file is left then.
    package func make() async throws -> Made {
        for attempt in 1...NodeBackup.attemptsMax {
            try await self.prepare()
            let madeAt = self.clock.wallMilliseconds
            // A backup with some rows that may count twice is better than none.
            if let made = try self.copy(at: madeAt, isLast: attempt == NodeBackup.attemptsMax) {
                do {
                    try BackupNote(madeAt: made.madeAt, file: made.file).write(in: self.directory)
                } catch is ClinicSyncError {
                    // The backup is made all the same; a finding about an old one may come too early.
                }
                return made
            }
        }
        throw ClinicSyncError(.timeout, "Programs wrote at the moment of every copy: make the backup again.")
    }

    /// Has what programs wrote until now put into the log, by the node or by this process.
    private func prepare() async throws {
        do {
            let lock = try self.directory.lockForRunning()
            defer { withExtendedLifetime(lock) {} }
            try self.collectStopped()
        } catch let error as ClinicSyncError where error.code == .alreadyRunning {
            try await LocalAPIClient(directory: self.directory).post("/v1/backup", timeout: .seconds(90))
        }
    }

    private func collectStopped() throws {
        try StorageErrors.mapping {
            let database = self.directory.databaseURL.path
            guard FileManager.default.fileExists(atPath: database) else { throw StoreError.missing }
            let clock = self.clock
            try StoppedStore(path: database, node: self.identity.nodeID) { clock.wallMilliseconds }.prepareCopy()
        }
    }

    /// Makes the copy; `nil` when a program wrote at its moment.
    private func copy(at madeAt: Int64, isLast: Bool) throws -> Made? {
        let content = try StorageErrors.mapping {
            try self.file.make(
                of: self.directory.databaseURL.path,
                label: BackupLabel(
                    clinicID: self.identity.clinicID,
                    clinicName: self.identity.clinicName,
                    nodeName: self.identity.nodeName,
                    madeAt: madeAt
                ),
                without: ClinicBackup.exclusions
            ) { $0.marks == 0 || isLast }
        }
        guard let content else { return nil }
        let bytes = try FileManager.default.attributesOfItem(atPath: self.file.path)[.size] as? NSNumber
        return Made(
            file: self.file.path,
            bytes: bytes?.int64Value ?? 0,
            rows: content.rows,
            uncollected: content.marks,
            madeAt: UTCTimestamp(milliseconds: madeAt)
        )
    }

    // MARK: - Restoring

    /// Restores the backup; the node must be stopped.
    ///
    /// - Throws: ``ClinicSyncError``; the node's database is as before then.
    package func restore() throws -> Restored {
        let lock = try self.directory.lockForRunning()
        defer { withExtendedLifetime(lock) {} }
        let content = try StorageErrors.mapping { try self.file.examine() }
        try self.requireOwnClinic(content)
        let clock = self.clock
        let epoch = try TrustStore.load(directory: self.directory) { clock.wallMilliseconds }.epoch
        let outcome = try StorageErrors.mapping {
            try FileRestore(
                path: self.directory.databaseURL.path,
                node: self.identity.nodeID,
                exclusions: ClinicBackup.exclusions,
                epoch: epoch
            ) { clock.wallMilliseconds }.run(self.file)
        }
        return Restored(
            file: self.file.path,
            madeAt: content.label.map { UTCTimestamp(milliseconds: $0.madeAt) },
            aside: outcome.aside,
            mergedBatches: outcome.batches,
            unreadable: outcome.unreadable,
            notTakenOver: outcome.lost,
            isOfFormerEpoch: epoch.exceeds(content.epoch)
        )
    }

    func requireOwnClinic(_ content: BackupFile.Content) throws {
        guard let label = content.label else {
            guard content.node == self.identity.nodeID else {
                throw ClinicSyncError(
                    .refused,
                    "\(self.file.path) is a copy of another node's database, and does not say of which clinic: "
                        + "name a file that 'clinic-node backup' made."
                )
            }
            return
        }
        guard label.clinicID == self.identity.clinicID else {
            throw ClinicSyncError(
                .refused,
                "\(self.file.path) is a backup of another clinic, \(label.clinicName): name a backup of this clinic."
            )
        }
    }
}
