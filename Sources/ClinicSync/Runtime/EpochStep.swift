import ClinicSyncClinic
import ClinicSyncModel
import ClinicSyncStorage
import Foundation

/// What a node knows of epochs when it opens its database.
struct EpochKnowledge: Sendable {
    /// Returns the greatest epoch that the node must follow.
    var greatest: @Sendable () throws -> Epoch? = { nil }
    /// Returns the epoch when its signature is valid.
    var verified: @Sendable (Epoch?) -> Epoch? = { _ in nil }
    /// Keeps the epoch of the node's own data.
    var keep: @Sendable (Epoch) throws -> Void = { _ in }
}

/// The epoch of the data that a run works with.
struct EpochState: Sendable {
    /// What became of the former database of a node that has followed an epoch.
    struct Followed: Sendable {
        /// The epoch.
        var epoch: Epoch
        /// What became of the files.
        var outcome: FileRestore.Outcome
    }

    /// The epoch of the data; `nil` when the clinic was never brought back to a backup.
    var data: Epoch?
    /// The epoch that the opening has followed; `nil` when it has not.
    var followed: Followed?
    /// Whether the database could not be exchanged at the opening, because another program has it open.
    var isHeld = false

    /// The state of data of `epoch`.
    init(of epoch: Epoch?) { self.data = epoch }

    /// The state of a database that was just made again.
    init(rebuilt opening: StorageService.Opening) throws {
        self.data = opening.epochs.verified(try FileEpoch(path: opening.path).read())
    }
}

/// Brings the database in line with the greatest epoch that the node knows, before the node opens it.
///
/// The database of a smaller epoch is set aside. It is exchanged only while no program has it open. See
/// `docs/design/0029-whole-clinic.md`.
struct EpochStep {
    private let opening: StorageService.Opening
    private let attempts: Int

    /// Prepares the opening.
    ///
    /// - Parameters:
    ///   - opening: how the store is opened.
    ///   - attempts: how often the file is tried. Programs that open it for each query have it open now and then.
    init(_ opening: StorageService.Opening, attempts: Int = 10) {
        self.opening = opening
        self.attempts = attempts
    }

    /// Takes the step.
    ///
    /// - Returns: The epoch of the database as it is then.
    /// - Throws: ``StoreError``, ``SchemaError``, ``ClinicSyncError``; the database is as before then.
    func take() throws -> EpochState {
        let file = FileEpoch(path: self.opening.path)
        var data = self.opening.epochs.verified(try file.read())
        if data == nil, let lost = self.opening.epochs.verified(try file.copied(for: self.opening.origin.node)) {
            // A program or the disk has removed or damaged what the data says: it is no former data.
            try file.set(lost)
            data = lost
        }
        if let data { try self.opening.epochs.keep(data) }
        var state = EpochState(of: data)
        guard let greatest = try self.opening.epochs.greatest(), Optional(greatest).exceeds(data) else { return state }
        if try file.begin(greatest) {
            state.data = greatest
            return state
        }
        // Nobody else has the rows: the file is all that is left of the clinic.
        guard self.opening.mayRebuild else {
            try file.set(greatest)
            state.data = greatest
            return state
        }
        guard let outcome = try self.exchange(for: greatest, from: data) else {
            state.isHeld = true
            return state
        }
        state.followed = EpochState.Followed(epoch: greatest, outcome: outcome)
        state.data = greatest
        return state
    }

    /// The pause between two tries, in seconds.
    private static let pause = 0.1

    /// Exchanges the file; `nil` while a program has it open.
    private func exchange(for epoch: Epoch, from data: Epoch?) throws -> FileRestore.Outcome? {
        let restore = FileRestore(
            path: self.opening.path,
            node: self.opening.origin.node,
            exclusions: ClinicBackup.exclusions,
            epoch: data,
            wallClock: self.opening.wallClock
        )
        for attempt in 0..<self.attempts {
            do {
                return try restore.follow(epoch)
            } catch let error as StoreError where error.code == .locked {
                // The store's writing thread has nothing else to do.
                if attempt + 1 < self.attempts { Thread.sleep(forTimeInterval: EpochStep.pause) }
            }
        }
        return nil
    }
}
