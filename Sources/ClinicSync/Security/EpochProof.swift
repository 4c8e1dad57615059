import ClinicSyncModel

/// A verified epoch: a node with the right to sign has signed its statement.
struct EpochProof: Sendable, Hashable {
    /// The epoch.
    let epoch: Epoch
    /// The node that signed; `nil` means the authority.
    let signer: NodeID?

    /// Reads a statement and checks who signed it.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused`.
    init(verifying statement: [UInt8], authority: ClinicAuthority) throws {
        do {
            var reader = StatementReader(statement)
            _ = try reader.take(Epoch.bodyBytes)
            guard let epoch = Epoch(statement: statement), epoch.clinic == authority.id else {
                throw StatementReader.Malformed()
            }
            self.signer = try reader.signer(authority: authority)
            self.epoch = epoch
        } catch {
            throw ClinicSyncError(
                .refused,
                "The return to a backup is not one that this clinic signed: this PC does not follow it.",
                cause: error
            )
        }
    }

    /// Signs an epoch.
    ///
    /// - Parameters:
    ///   - number: one more than the largest number that is known.
    ///   - batches: how many batches the restored state has.
    ///   - node: the node that decides.
    ///   - now: milliseconds since 1970.
    ///   - authority: the clinic's authority.
    ///   - issuer: who signs.
    /// - Throws: ``ClinicSyncError`` of code `refused`.
    init(
        number: UInt64,
        batches: UInt64,
        node: NodeID,
        at now: Int64,
        authority: ClinicAuthority,
        issuer: LeafIssuer
    ) throws {
        let body = Epoch.body(
            clinic: authority.id,
            number: number,
            node: node,
            decidedAt: Bounds.milliseconds(clamping: now),
            batches: batches
        )
        try self.init(verifying: try issuer.signed(body), authority: authority)
    }
}
