package import ClinicSyncCore
package import ClinicSyncModel

/// What a writer's store does in a state transfer: takes a peer's state, and keeps the log for a peer that is given this node's.
///
/// Like the writer, it belongs to the writer's thread; each method is one or more transactions.
package struct StateTransfers {
    let follower: SchemaFollower
    let merging: Merging
    let upkeep: Upkeep

    /// Stores an answer of a peer that gives its state; see ``StorageRequest/stageState(from:_:behind:)``.
    ///
    /// - Returns: What is stored, without the answer if that does not follow it; `nil` when there is nothing.
    /// - Throws: ``MalformedChunk`` when a page is not what it says; ``ForkedBatch`` when the state has batches of this
    ///   node that this node does not know: then the next opening begins a new incarnation; ``StoreError``. Nothing is stored
    ///   then.
    package func stage(_ answer: StateAnswer, behind place: StateCursor?) throws -> StagedState? {
        try self.follower.following { try self.merging.stage(answer, behind: place) }
    }

    /// Merges the stored state and shows it; see ``StorageRequest/installState(isForced:)``.
    ///
    /// - Returns: How many rows it has, and what was applied; `nil` when it waits for batches.
    /// - Throws: ``ForkedBatch`` as above; ``StoreError``. The store is as before then.
    package func install(
        isForced: Bool,
        clockOffsetMilliseconds offset: Int64
    ) throws -> (rows: UInt64, outcome: StoreOutcome)? {
        try self.follower.following { try self.merging.install(isForced: isForced, offset: offset) }
    }

    /// Keeps the log beyond `vector` for a peer; see ``StorageRequest/pinState(_:_:isNew:)``.
    ///
    /// - Throws: ``StoreError``.
    package func pin(_ peer: NodeID, _ vector: VersionVector, isNew: Bool = true) throws {
        try self.follower.following { try self.upkeep.pin(peer, vector, isNew: isNew) }
    }
}
