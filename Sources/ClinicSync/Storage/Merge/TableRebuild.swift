import ClinicSyncCore
import ClinicSyncModel

/// Brings the rows of tables back that lost them without a deletion: merges what the log says of these tables once more.
///
/// To merge a change twice changes nothing, so rows that are there stay as they are. What the log does not have any more comes
/// with the next comparison with another node.
final class TableRebuild {
    private let rows: RowStates
    private let log: BatchLog
    private let merger: Merger
    private let clock: StoreClock
    private var origins: Origins { self.rows.origins }

    /// Reads batches of `log`.
    init(rows: RowStates, log: BatchLog, merger: Merger, clock: StoreClock) {
        self.rows = rows
        self.log = log
        self.merger = merger
        self.clock = clock
    }

    /// Merges the changes of the tables with these numbers; the caller has the projection run afterwards.
    ///
    /// - Parameters:
    ///   - tables: the numbers of the tables.
    ///   - events: gets what programs see change.
    ///   - transaction: the transaction.
    /// - Returns: What was collected on the way.
    /// - Throws: what SQLite reports.
    func rebuild(
        _ tables: Set<Int>,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws -> MergeResult {
        var result = MergeResult()
        // What each author had seen, which its batches say one after the other.
        var seen: [Int: VersionVector] = [:]
        for (id, sequence) in try self.log.applied(on: transaction.connection) {
            do {
                guard let header = try self.log.header(of: id, sequence: sequence, on: transaction.connection) else {
                    continue
                }
                let batch = BatchID(origin: try self.origins.origin(id), sequence: sequence)
                seen[id, default: VersionVector()].merge(header.dependencies)
                seen[id, default: VersionVector()].advance(batch.origin, to: sequence)
                let applied = AppliedBatch(
                    id: batch,
                    originID: id,
                    seen: seen[id] ?? VersionVector(),
                    offset: self.clock.offsetMilliseconds
                )
                try self.merge(applied, header, tables, events: &events, result: &result, in: transaction)
            } catch is OwnDamage {
                // The rows of a damaged batch come from another node.
                continue
            } catch is MalformedRecord {
                continue
            }
        }
        return result
    }

    private func merge(
        _ batch: AppliedBatch,
        _ header: BatchHeader,
        _ tables: Set<Int>,
        events: inout EventCollector,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        let connection = transaction.connection
        for chunk in try self.log.chunks(of: batch.originID, sequence: batch.id.sequence, on: connection) {
            try chunk.payload.withUnsafeBytes { payload in
                var reader = try ChangeChunkReader(payload, base: header.timestamp, plans: self.rows.plans)
                guard !tables.isDisjoint(with: reader.knownTables) else { return }
                while var change = try reader.next() {
                    guard let plan = change.plan, tables.contains(plan.definition.number) else { continue }
                    // Of a row whose insertion is not in the log an edit alone would show half a row.
                    if change.kind == .update, try self.isUnknown(plan, key: change.key.value, on: connection) {
                        continue
                    }
                    change.timestamp = change.timestamp.limited(toBatches: batch.seen.total)
                    try self.merger.apply(
                        change,
                        plan: plan,
                        values: reader.values,
                        of: batch,
                        events: &events,
                        result: &result,
                        in: transaction
                    )
                }
            }
        }
    }

    private func isUnknown(_ plan: TablePlan, key: SQLiteValue, on connection: Connection) throws -> Bool {
        try self.rows.locate(plan, key: key, on: connection).isAbsent
    }
}
