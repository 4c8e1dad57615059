import ClinicSyncCore
import ClinicSyncModel

/// Own batches that no other node can have: the table `clinicsync_unshared`.
///
/// The node may still correct their stamps: `docs/design/0006-clocks-and-clones.md`.
final class UnsharedBatches: TransactionPart {
    private let origins: Origins
    /// The smallest number of an own batch that no other node can have; `nil` while other nodes may receive new
    /// batches.
    private var first: UInt64?

    /// Reads the noted batches and deletes the notes of other incarnations.
    ///
    /// - Throws: what SQLite reports.
    init(origins: Origins, in transaction: borrowing WriteTransaction) throws {
        self.origins = origins
        // A note with an impossible number is of no batch.
        try transaction
            .statement("DELETE FROM clinicsync_unshared WHERE origin <> ?1 OR sequence NOT BETWEEN 1 AND ?2")
            .bind(1, origins.ownID)
            .bind(2, Bounds.sequenceMax)
            .run()
        let noted = try transaction.statement("SELECT min(sequence) FROM clinicsync_unshared").first {
            $0.isNull(0) ? nil : try $0.sequence(0)
        }
        // Other nodes may have a part of a batch that was begun earlier, although its end is not in the log.
        let begun = try BatchLog.highestNumber(of: origins.own, on: transaction.connection)
        self.first = (noted ?? nil) ?? begun &+ 1
    }

    func memory() -> () -> Void {
        let saved = self.first
        return { self.first = saved }
    }

    /// Whether new own batches count as unshared, because no other node can have them.
    var isIsolated: Bool { self.first != nil }

    /// Counts all batches made from now on as unshared; see ``StorageRequest/beginIsolation``.
    ///
    /// - Parameter begun: the highest number of an own batch. An incomplete batch counts too, because other nodes may
    ///   have a part of it.
    func beginIsolation(after begun: UInt64) {
        guard self.first == nil else { return }
        self.first = begun &+ 1
    }

    /// Counts all own batches as shared: another node may have seen their stamps, or a merge has used their stamps.
    func countAllAsShared(in transaction: borrowing WriteTransaction) throws {
        guard self.first != nil else { return }
        self.first = nil
        try transaction.statement("DELETE FROM clinicsync_unshared").run()
    }

    /// Notes that an own batch was begun or continued in isolation.
    ///
    /// A batch that was begun before the isolation and is continued in it counts as shared.
    func note(_ batch: BatchBuilder, in transaction: borrowing WriteTransaction) throws {
        guard let first = self.first, batch.id.sequence >= first else { return }
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_unshared (origin, sequence, clockOffset, floor) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (origin, sequence) DO UPDATE SET floor = max(floor, ?4)
                """
            )
            .bind(1, self.origins.ownID)
            .bind(2, batch.id.sequence)
            .bind(3, batch.clockOffset)
            .bind(4, batch.floor.rawValue)
            .run()
    }

    /// A noted batch.
    struct Noted {
        var sequence: UInt64
        /// The offset that was added to this PC's time for the batch's stamps.
        var clockOffset: Int64
        /// The largest stamp of a shared value that the batch replaced.
        var floor: HybridTimestamp
    }

    /// The noted batches with numbers above `sequence`, in their order.
    func noted(after sequence: UInt64, on connection: Connection) throws -> [Noted] {
        var batches: [Noted] = []
        try connection
            .query(
                """
                SELECT sequence, clockOffset, floor FROM clinicsync_unshared
                WHERE origin = ?1 AND sequence > ?2 ORDER BY sequence
                """
            )
            .bind(1, self.origins.ownID)
            .bind(2, sequence)
            .forEach { row in
                let floor = HybridTimestamp(rawValue: row.unsigned(2))
                batches.append(Noted(sequence: try row.sequence(0), clockOffset: row.int64(1), floor: floor))
            }
        return batches
    }

    // MARK: - Versions

    /// Whether another node may have the batch of this version.
    func isShared(_ version: LocalVersion) -> Bool {
        guard version.origin == self.origins.ownID, let first = self.first else { return true }
        return version.sequence < first
    }

    /// The largest stamp in a state, without the stamps of unshared batches.
    func sharedFloor(of state: RowState) -> HybridTimestamp {
        func stamp(_ version: Version) -> HybridTimestamp {
            guard version.origin == self.origins.own, let first = self.first, version.sequence >= first else {
                return version.timestamp
            }
            return .genesis
        }
        var floor = max(stamp(state.birth), state.deletion.map { stamp($0.version) } ?? .genesis)
        for register in state.registers {
            if let register { floor = max(floor, stamp(register.version)) }
        }
        return floor
    }
}
