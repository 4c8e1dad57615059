import ClinicSyncCore
import ClinicSyncModel

/// The states of a table in the order of their stamps, for range-based reconciliation.
///
/// Nothing is kept up with each write: the index is made by one scan when sums differ. It takes 24 bytes a state, in a reader's
/// memory, for one table at a time, and is dropped with the next comparison of sums.
struct StateIndex {
    /// Items for which memory is reserved at once.
    private static let reservedMax = 1 << 20

    /// What the table was when the index was made.
    ///
    /// Versions of shown rows are in no sum. A merge of versions alone leaves their former stamps in the index: some rows count as
    /// different then, and are exchanged once more.
    let digest: TableDigest
    let ranges: RangeReconciliation

    /// Reads the states of a table.
    ///
    /// Left out are rows with keys that no peer takes: see ``LargeRows``.
    ///
    /// - Throws: ``StoreError``; ``OwnDamage``.
    init(_ plan: TablePlan, _ digest: TableDigest, reader: ReplicaReader) throws {
        var items: [RangeReconciliation.Item] = []
        // The count is the file's, where a program or a disk may have put any number.
        items.reserveCapacity(min(Int(clamping: digest.rows), StateIndex.reservedMax))
        try StateScan(plan, reader: reader).forEach(withStamps: true) { _, stamp, hash in
            items.append(RangeReconciliation.Item(stamp: stamp, hash: hash))
        }
        self.digest = digest
        self.ranges = RangeReconciliation(items, bytesMax: reader.limits.repair.rangesBytes)
    }
}

/// Reads what a node knows of each row of a table: what is shown, and the states that are not.
struct StateScan {
    private let plan: TablePlan
    private let reader: ReplicaReader
    private let keyBytesMax: Int

    /// Scans a table.
    init(_ plan: TablePlan, reader: ReplicaReader) {
        self.plan = plan
        self.reader = reader
        self.keyBytesMax = reader.limits.keyBytesMax
    }

    /// Calls `body` with the key, the stamp and the hash of each state; the stamp is 0 without `withStamps`.
    ///
    /// The stamp is the newest of the state's.
    ///
    /// - Throws: ``StoreError``; ``OwnDamage``; what `body` throws.
    func forEach(withStamps: Bool, _ body: (ValueRef, UInt64, Digest) throws -> Void) throws {
        let number = self.plan.definition.number
        let columns = withStamps ? "pk, hash, timestamp, registers" : "pk, hash"
        try self.reader.connection
            .query("SELECT \(columns) FROM clinicsync_row WHERE tableId = ?1 AND length(CAST(pk AS BLOB)) <= ?2")
            .bind(1, number)
            .bind(2, self.keyBytesMax)
            .forEach { row in
                let key = row.ref(0)
                let (stamp, hash) = try OwnDamage.reading(.row, .row(table: number, key: key.value)) {
                    (withStamps ? try StateScan.stamp(row) : 0, try Digest(storedBytes: row.blob(1)))
                }
                try body(key, stamp, hash)
            }
        let forgotten = try ForgottenRows.inUse(on: self.reader.connection)
        for kind in StateSums.Kind.allCases { try self.forEach(kind, without: forgotten, body) }
    }

    private func forEach(
        _ kind: StateSums.Kind,
        without forgotten: ForgottenRows,
        _ body: (ValueRef, UInt64, Digest) throws -> Void
    ) throws {
        let number = self.plan.definition.number
        guard try self.reader.connection.hasTable("clinicsync_\(kind.table.rawValue)") else { return }
        var hasher = StateHasher()
        try self.reader.connection
            .query("\(kind.select) WHERE s.tableId = ?1 AND length(CAST(s.pk AS BLOB)) <= ?2")
            .bind(1, number)
            .bind(2, self.keyBytesMax)
            .forEach { row in
                let key = row.ref(0)
                let read = try OwnDamage.reading(kind.table, .row(table: number, key: key.value)) {
                    try StateSums.read(row, self.plan, with: &hasher)
                }
                guard kind == .hidden || !forgotten.contain(read.state) else { return }
                try body(key, read.stamp, read.hash)
            }
    }

    /// The newest stamp of a row that its table shows.
    private static func stamp(_ row: Statement) throws -> UInt64 {
        let birth: UInt64 = try row.number(2, in: 0...UInt64(Int64.max), "a stamp")
        guard !row.isNull(3) else { return birth }
        return try RowMeta.readGroups(row.blob(3), birth: birth).reduce(birth) { max($0, $1.version.timestamp) }
    }
}
