import ClinicSyncModel

/// Finds values that a table no longer has in the batches that wrote them, as long as the log keeps these.
final class LoggedValues {
    /// Batches with more bytes are not searched: a row of a large import is fetched from another node.
    private static let bytesMax = 512 << 10

    private let log: BatchLog
    private let rows: RowStates
    /// The batch that was read last: the columns of a row, and neighbouring rows, often have one.
    private var last: (batch: LocalVersion, base: HybridTimestamp, payloads: [[UInt8]])?

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
        guard let batch = try self.batch(of: version, on: connection) else { return nil }
        for payload in batch.payloads.reversed() {
            let found = try payload.withUnsafeBytes { bytes in
                try self.value(plan, key: key, slot: slot, in: bytes, base: batch.base)
            }
            if let found, ValueRef.with(found, { RowMeta.short(of: $0, plan, slot: slot) }) == known { return found }
        }
        return nil
    }

    private func batch(
        of version: LocalVersion,
        on connection: Connection
    ) throws -> (base: HybridTimestamp, payloads: [[UInt8]])? {
        if let last, last.batch.origin == version.origin, last.batch.sequence == version.sequence {
            return (last.base, last.payloads)
        }
        guard version.sequence > 0,
            let bytes = try self.log.payloadBytes(of: version.origin, sequence: version.sequence, on: connection),
            bytes <= LoggedValues.bytesMax,
            let header = try self.log.header(of: version.origin, sequence: version.sequence, on: connection)
        else { return nil }
        let chunks = try self.log.chunks(of: version.origin, sequence: version.sequence, on: connection)
        let payloads = chunks.map(\.payload)
        self.last = (version, header.timestamp, payloads)
        return (header.timestamp, payloads)
    }

    /// The last value that a chunk gives the column.
    private func value(
        _ plan: TablePlan,
        key: SQLiteValue,
        slot: Int,
        in payload: UnsafeRawBufferPointer,
        base: HybridTimestamp
    ) throws -> SQLiteValue? {
        var found: SQLiteValue?
        do {
            var reader = try ChangeChunkReader(payload, base: base, plans: self.rows.plans)
            while let change = try reader.next() {
                guard change.plan === plan, change.slots & (1 << UInt64(slot)) != 0, change.key.value == key else {
                    continue
                }
                found = reader.values[slot].value
            }
        } catch {
            // What stands before the damage is as good as ever: the hash tells.
            return found
        }
        return found
    }

    /// Forgets what was read: it may be rewritten.
    func forget() { self.last = nil }
}
