import ClinicSyncClinic
import ClinicSyncModel
import ClinicSyncStorage
import Foundation

// Bringing the whole clinic back to a backup: `docs/design/0029-whole-clinic.md`.
extension NodeBackup {
    /// The rows of one table that the clinic would not show any more.
    package struct Difference: Sendable, Encodable {
        /// The table.
        package var table: String
        /// Rows that were added since the backup.
        package var added: Int
        /// Rows that were changed since.
        package var changed: Int
        /// Rows that were deleted since, and would be back.
        package var deleted: Int
    }

    /// What bringing the whole clinic back would mean.
    package struct Prospect: Sendable {
        /// When the backup was made, in UTC; `nil` for a copy that another program made.
        package var madeAt: UTCTimestamp?
        /// What this PC shows otherwise; `nil` when that cannot be counted.
        package var differences: [Difference]?
    }

    /// The answer of `clinic-node restore --whole-clinic --json`.
    package struct BroughtBack: Sendable, Encodable {
        /// The backup.
        package var file: String
        /// When the backup was made, in UTC; `nil` for a copy that another program made.
        package var madeAt: UTCTimestamp?
        /// The number of the epoch.
        package var epoch: UInt64
        /// Where the former database is; `nil` when there was none.
        package var aside: String?
        /// The number of this PC's own batches in the former database that no other PC is known to have.
        package var ownBatches: UInt64
        /// Why the former database could not be read in full; `nil` when it could.
        package var notRead: String?
        /// What the clinic does not show any more; `nil` when it could not be counted.
        package var differences: [Difference]?
    }

    /// Says what bringing the whole clinic back to the backup would mean, and changes nothing; the node must be stopped.
    ///
    /// - Throws: ``ClinicSyncError``: `refused` without the right to sign, and for a backup of another clinic.
    package func prospect() throws -> Prospect {
        let lock = try self.directory.lockForRunning()
        defer { withExtendedLifetime(lock) {} }
        _ = try self.trust().requireIssuer()
        let content = try StorageErrors.mapping { try self.file.examine() }
        try self.requireOwnClinic(content)
        return Prospect(
            madeAt: content.label.map { UTCTimestamp(milliseconds: $0.madeAt) },
            differences: self.differences()
        )
    }

    /// Makes the backup the data of the whole clinic; the node must be stopped.
    ///
    /// From the next start on, this node offers the new epoch to every other one.
    ///
    /// - Throws: ``ClinicSyncError``: `refused` without the right to sign, and for a backup of another clinic. The node's database
    ///   is as before then.
    package func bringBack() throws -> BroughtBack {
        let lock = try self.directory.lockForRunning()
        defer { withExtendedLifetime(lock) {} }
        let trust = try self.trust()
        let content = try StorageErrors.mapping { try self.file.examine() }
        try self.requireOwnClinic(content)
        let differences = self.differences()
        let epoch = try trust.makeEpoch(exceeding: try self.present(trust), batches: content.batches)
        let clock = self.clock
        let outcome = try StorageErrors.mapping {
            try FileRestore(
                path: self.directory.databaseURL.path,
                node: self.identity.nodeID,
                exclusions: ClinicBackup.exclusions,
                epoch: trust.epoch
            ) { clock.wallMilliseconds }.begin(epoch, with: self.file)
        }
        // Only now: a node that knows an epoch which its data does not have sets the data aside.
        try trust.keep(epoch)
        return BroughtBack(
            file: self.file.path,
            madeAt: content.label.map { UTCTimestamp(milliseconds: $0.madeAt) },
            epoch: epoch.number,
            aside: outcome.aside,
            ownBatches: outcome.unshared,
            notRead: outcome.lost,
            differences: differences
        )
    }

    private func trust() throws -> TrustStore {
        let clock = self.clock
        let trust = try TrustStore.load(directory: self.directory) { clock.wallMilliseconds }
        if let refusal = trust.refusal { throw refusal }
        return trust
    }

    /// The epoch of the present database; `nil` when it has none or cannot be read.
    private func present(_ trust: TrustStore) throws -> Epoch? {
        do {
            return trust.verified(try FileEpoch(path: self.directory.databaseURL.path).read())
        } catch is StoreError {
            // The file is damaged or gone, which is a reason to bring the clinic back. The trust store has the epoch too.
            return nil
        }
    }

    private func differences() -> [Difference]? {
        let comparison = FileComparison(
            database: self.directory.databaseURL.path,
            backup: self.file.path,
            exclusions: ClinicBackup.exclusions
        )
        do {
            return try comparison.tables().map {
                Difference(table: $0.name, added: $0.added, changed: $0.changed, deleted: $0.deleted)
            }
        } catch {
            // The count is for the person only.
            return nil
        }
    }
}
