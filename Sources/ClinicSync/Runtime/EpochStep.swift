import ClinicSyncClinic
import ClinicSyncModel
import ClinicSyncStorage

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
}

/// Brings the database in line with the greatest epoch that the node knows, before the node opens it.
///
/// The database of a smaller epoch is set aside. It is exchanged only while no program has it open. See
/// `docs/design/0029-whole-clinic.md`.
struct EpochStep {
    private let opening: StorageService.Opening

    /// Prepares the opening.
    init(_ opening: StorageService.Opening) { self.opening = opening }

    /// Takes the step.
    ///
    /// - Returns: The epoch of the database as it is then.
    /// - Throws: ``StoreError``, ``SchemaError``, ``ClinicSyncError``; the database is as before then.
    func take() throws -> EpochState {
        let file = FileEpoch(path: self.opening.path)
        let data = self.opening.epochs.verified(try file.read())
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
        do {
            let restore = FileRestore(
                path: self.opening.path,
                node: self.opening.origin.node,
                exclusions: ClinicBackup.exclusions,
                epoch: data,
                wallClock: self.opening.wallClock
            )
            let outcome = try restore.follow(greatest)
            state.followed = EpochState.Followed(epoch: greatest, outcome: outcome)
            state.data = greatest
        } catch let error as StoreError where error.code == .locked {
            state.isHeld = true
        }
        return state
    }
}
