package import ClinicSyncModel
import NIOConcurrencyHelpers

/// The greatest epoch that this node knows, which its data must have or get.
extension TrustStore {
    /// What becomes of an epoch that a peer offers.
    package enum EpochVerdict: Sendable, Hashable {
        /// The node must follow it.
        case new(Epoch)
        /// The node knows it, or a greater one.
        case known
        /// The node does not follow it, for the reason in the sentence.
        case refused(String)
    }

    /// The greatest epoch that this node knows; `nil` when the clinic was never brought back to a backup.
    package var epoch: Epoch? { self.state.withLockedValue { $0.epoch } }

    /// Returns an epoch when a node with the right to sign has signed its statement, otherwise `nil`.
    package func verified(_ epoch: Epoch?) -> Epoch? {
        guard let epoch else { return nil }
        do {
            return try EpochProof(verifying: epoch.statement, authority: self.authority).epoch
        } catch {
            return nil
        }
    }

    /// Takes over the epoch of this node's own data, which it has followed or decided.
    ///
    /// - Throws: ``ClinicSyncError`` when the file cannot be written.
    package func keep(_ epoch: Epoch) throws {
        guard let epoch = self.verified(epoch) else { return }
        try self.writing.withLock { try self.write(epoch) }
    }

    /// Judges the epoch that a peer offers, and keeps it when this node must follow it.
    ///
    /// - Throws: ``ClinicSyncError`` when the file cannot be written; the node does not follow then.
    package func learn(epoch statement: [UInt8]) throws -> EpochVerdict {
        let proof: EpochProof
        do {
            proof = try EpochProof(verifying: statement, authority: self.authority)
        } catch let error as ClinicSyncError {
            return .refused(error.message)
        }
        if let signer = proof.signer, self.isRevoked(signer) {
            return .refused(
                "The PC that brought the clinic back to a backup was removed from the clinic: this PC does not follow it. "
                    + "Bring the clinic back on another PC, or let this PC join again."
            )
        }
        return try self.writing.withLock {
            let known = self.epoch
            guard Optional(proof.epoch).exceeds(known) else { return .known }
            guard proof.epoch.number <= (known?.number ?? 0) &+ Epoch.stepMax else {
                return .refused(
                    "The number of a return to a backup is too large for this clinic: this PC does not follow it. "
                        + "Remove the PC that decided it from the clinic."
                )
            }
            try self.write(proof.epoch)
            return .new(proof.epoch)
        }
    }

    /// Signs a new epoch, greater than all that this node knows; it counts when this node's data has it.
    ///
    /// - Parameters:
    ///   - other: an epoch that the new one must exceed, too.
    ///   - batches: how many batches the restored state has.
    /// - Returns: The epoch.
    /// - Throws: ``ClinicSyncError`` of code `refused` without the right to sign.
    package func makeEpoch(exceeding other: Epoch?, batches: UInt64) throws -> Epoch {
        let issuer = try self.requireIssuer()
        let newest = max(self.epoch?.number ?? 0, other?.number ?? 0)
        return try EpochProof(
            number: min(newest, Epoch.numberMax - 1) + 1,
            batches: batches,
            node: self.nodeID,
            at: self.wallClock(),
            authority: self.authority,
            issuer: issuer
        ).epoch
    }

    /// The caller must hold ``writing``.
    private func write(_ epoch: Epoch) throws {
        guard Optional(epoch).exceeds(self.epoch) else { return }
        try IdentityFiles.write(epoch: epoch.statement, to: self.directory)
        self.state.withLockedValue { $0.epoch = epoch }
    }
}
