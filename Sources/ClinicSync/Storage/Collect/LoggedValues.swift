import ClinicSyncModel

/// Finds values that a table no longer has in the batches that wrote them, as long as the log keeps these.
final class LoggedValues {
    /// Batches with more bytes are not searched: a row of a large import is fetched from another node.
    private static let bytesMax = 512 << 10

    private let log: BatchLog
    private let rows: RowStates
    /// The batches that were read last: the columns of a row, and neighbouring rows, often have the same few.
    private var batches: [Batch] = []
    private static let batchesMax = 4
    /// The plans by whose slots the batches were read.
    private var generation = 0

    /// A column of a row.
    private struct Place: Hashable {
        let table: Int
        let key: SQLiteValue
        let slot: Int
    }

    /// What a batch wrote.
    private struct Batch {
        let version: LocalVersion
        /// The values of each place, in the order of the changes.
        var values: [Place: [SQLiteValue]] = [:]
    }

    /// Searches `log`.
    init(log: BatchLog, rows: RowStates) {
        self.log = log
        self.rows = rows
    }

    /// Finds the value that the batch of `version` wrote.
    ///
    /// - Parameters:
    ///   - plan: the row's table.
    ///   - key: the row's key.
    ///   - slot: the column, no counter.
    ///   - version: the value's version.
    ///   - known: the 32 bits that the node keeps of the value's hash, by which a wrong value is told from the right one.
    ///   - connection: the connection that reads.
    /// - Returns: The value; `nil` when the log does not have it any more.
    /// - Throws: what SQLite reports.
    func value(
        _ plan: TablePlan,
        key: SQLiteValue,
        slot: Int,
        version: LocalVersion,
        known: UInt32,
        on connection: Connection
    ) throws -> SQLiteValue? {
        if self.generation != self.rows.generation { self.forget() }
        self.generation = self.rows.generation
        let place = Place(table: plan.definition.number, key: key, slot: slot)
        let values = try self.batch(of: version, on: connection)?.values[place] ?? []
        return values.last { ValueRef.with($0) { RowMeta.short(of: $0, plan, slot: slot) } == known }
    }

    private func batch(of version: LocalVersion, on connection: Connection) throws -> Batch? {
        let read = self.batches.first {
            $0.version.origin == version.origin && $0.version.sequence == version.sequence
        }
        if let read { return read }
        guard version.sequence > 0,
            let bytes = try self.log.payloadBytes(of: version.origin, sequence: version.sequence, on: connection),
            bytes <= LoggedValues.bytesMax,
            let header = try self.log.header(of: version.origin, sequence: version.sequence, on: connection)
        else { return nil }
        let chunks = try self.log.chunks(of: version.origin, sequence: version.sequence, on: connection)
        var batch = Batch(version: version)
        for chunk in chunks {
            chunk.payload.withUnsafeBytes { self.read($0, base: header.timestamp, into: &batch) }
        }
        if self.batches.count == LoggedValues.batchesMax { self.batches.removeFirst() }
        self.batches.append(batch)
        return batch
    }

    private func read(_ payload: UnsafeRawBufferPointer, base: HybridTimestamp, into batch: inout Batch) {
        do throws(MalformedRecord) {
            var reader = try ChangeChunkReader(payload, base: base, plans: self.rows.plans)
            while let change = try reader.next() {
                guard let plan = change.plan else { continue }
                let key = change.key.value
                for slot in change.slots.setBits {
                    let place = Place(table: plan.definition.number, key: key, slot: slot)
                    batch.values[place, default: []].append(reader.values[slot].value)
                }
            }
        } catch {
            // What stands before the damage is as good as ever: the hash tells.
        }
    }

    /// Forgets what was read: it may be rewritten.
    func forget() { self.batches = [] }
}
