import ClinicSyncCore
import ClinicSyncModel

/// Gives new stamps to own changes that were stamped with a wrong clock and that no other node has seen.
///
/// `docs/design/0006-clocks-and-clones.md` explains why and when.
final class Restamper {
    private let rows: RowStates
    private let saver: RowSaver
    private let log: BatchLog
    private let unshared: UnsharedBatches
    private let members: Members
    private let clock: StoreClock
    private var origins: Origins { self.rows.origins }

    /// Makes a restamper, which corrects batches of `log` and the rows that they changed.
    init(saver: RowSaver, log: BatchLog, unshared: UnsharedBatches, members: Members, clock: StoreClock) {
        self.rows = saver.rows
        self.saver = saver
        self.log = log
        self.unshared = unshared
        self.members = members
        self.clock = clock
    }

    /// Corrects the stamps of the unshared batches, if the clock was wrong by more than half a second.
    ///
    /// The correction takes about 20 microseconds for each change since the node's last contact with other nodes.
    ///
    /// - Parameters:
    ///   - offset: the difference to add to this PC's time to get the clinic's time.
    ///   - transaction: the transaction.
    /// - Returns: The number of changes whose stamps changed.
    /// - Throws: what SQLite reports.
    func correct(offset: Int64, in transaction: borrowing WriteTransaction) throws -> Int {
        let connection = transaction.connection
        let acknowledged = try self.members.acknowledgedOwn(on: connection)
        let batches = try self.unshared.noted(after: acknowledged, on: connection)
        let now = HybridTimestamp(milliseconds: self.clock.wallMilliseconds &+ offset)
        let others = self.origins.ids.filter { $0 != self.origins.ownID }
        let stamps = others.map { self.origins.timestamp(of: $0) }.filter { $0 <= now }
        var correction = StampCorrection(clockOffset: offset, now: now, lastContact: stamps.max() ?? .genesis)
        guard try self.isAnyWrong(batches, correction, on: connection) else { return 0 }
        for batch in batches { try self.rewrite(batch, &correction, in: transaction) }
        for (row, corrections) in correction.corrections {
            guard let plan = self.rows.plans[row.table] else { continue }
            try self.restampMetadata(plan, key: row.key, by: corrections, in: transaction)
        }
        return correction.corrections.values.reduce(0) { $0 + $1.count { $0.old != $0.new } }
    }

    private func isAnyWrong(
        _ batches: [UnsharedBatches.Noted],
        _ correction: StampCorrection,
        on connection: Connection
    ) throws -> Bool {
        for batch in batches {
            guard let header = try self.header(batch, on: connection) else { continue }
            var largest: Int64 = 0
            for chunk in try self.chunks(batch, on: connection) {
                _ = try chunk.payload.withUnsafeBytes { payload in
                    try ChunkRestamper.rewrite(payload, base: header.timestamp, newBase: header.timestamp) { change in
                        let stamp = change.timestamp
                        let estimate = correction.estimate(stamp, storedAt: chunk.storedAt, of: batch)
                        largest = max(largest, abs(estimate.milliseconds - stamp.milliseconds))
                        return stamp
                    }
                }
                if largest > StoreClock.toleranceMilliseconds { return true }
            }
        }
        return false
    }

    private func header(_ batch: UnsharedBatches.Noted, on connection: Connection) throws -> BatchHeader? {
        try self.log.header(of: self.origins.ownID, sequence: batch.sequence, on: connection)
    }

    private func chunks(_ batch: UnsharedBatches.Noted, on connection: Connection) throws -> [BatchLog.StoredChunk] {
        try self.log.chunks(of: self.origins.ownID, sequence: batch.sequence, on: connection)
    }

    /// Rewrites the chunks of a batch at their places in the log.
    private func rewrite(
        _ batch: UnsharedBatches.Noted,
        _ correction: inout StampCorrection,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard let header = try self.header(batch, on: transaction.connection) else { return }
        // The header can have any stamp: the stamps of the changes are stored relative to it.
        let newHeader = BatchHeader(
            timestamp: correction.now,
            dependencies: header.dependencies,
            schemaVersion: header.schemaVersion
        )
        for (index, chunk) in try self.chunks(batch, on: transaction.connection).enumerated() {
            let payload = try chunk.payload.withUnsafeBytes { payload in
                try ChunkRestamper.rewrite(
                    payload,
                    base: header.timestamp,
                    newBase: newHeader.timestamp
                ) { change in
                    let row = StampCorrection.Row(table: change.table, key: change.key)
                    return correction.correct(change.timestamp, of: row, storedAt: chunk.storedAt, in: batch)
                }
            }
            try self.log.rewrite(chunk, payload: payload, header: index == 0 ? newHeader : nil, in: transaction)
        }
    }

    // MARK: - What is known of the rows

    /// Corrects the stamps in the row's metadata, tombstone or shadow as in the log.
    private func restampMetadata(
        _ plan: TablePlan,
        key: SQLiteValue,
        by corrections: [StampCorrection.Correction],
        in transaction: borrowing WriteTransaction
    ) throws {
        let located = try self.rows.locate(plan, key: key, on: transaction.connection)
        var state = located.state
        state.birth = self.corrected(state.birth, by: corrections)
        for slot in state.registers.indices {
            guard let version = state.registers[slot]?.version else { continue }
            state.registers[slot]?.version = self.corrected(version, by: corrections)
        }
        if plan.counterSlots != 0 {
            try ValueRef.with(key) { try self.saver.saveCounterSettings(plan, state, key: $0, in: transaction) }
        }
        if let version = state.deletion?.version {
            state.deletion?.version = self.corrected(version, by: corrections)
        }
        if var meta = located.residence.meta {
            meta.birth = self.corrected(meta.birth, by: corrections)
            for index in meta.groups.indices {
                meta.groups[index].version = self.corrected(meta.groups[index].version, by: corrections)
            }
            meta.context = try self.rows.context(of: state, in: transaction)
            try self.rows.table.replaceVersions(plan, key: key, by: meta, in: transaction)
        }
        switch located.residence {
        case .absent, .row: break
        case .tombstone:
            try ValueRef.with(key) { try self.rows.tombstones.bury(plan, state, key: $0, in: transaction) }
        case .shadow(_, let form):
            try ValueRef.with(key) { try self.rows.shadows.write(plan, state, key: $0, form: form, in: transaction) }
            self.saver.enqueue(plan, key: key)
        }
    }

    private func corrected(_ version: Version, by corrections: [StampCorrection.Correction]) -> Version {
        guard version.origin == self.origins.own else { return version }
        let correction = corrections.last { $0.sequence == version.sequence && $0.old == version.timestamp }
        return Version(
            timestamp: correction?.new ?? version.timestamp,
            origin: version.origin,
            sequence: version.sequence
        )
    }

    private func corrected(_ version: LocalVersion, by corrections: [StampCorrection.Correction]) -> LocalVersion {
        guard version.origin == self.origins.ownID else { return version }
        let correction = corrections.last {
            $0.sequence == version.sequence && $0.old.rawValue == version.timestamp
        }
        return LocalVersion(
            timestamp: correction?.new.rawValue ?? version.timestamp,
            origin: version.origin,
            sequence: version.sequence
        )
    }
}
