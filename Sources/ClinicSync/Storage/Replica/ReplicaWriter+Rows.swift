import ClinicSyncCore
import ClinicSyncModel

/// Reading and writing of row states: the one place that projects merged state into the tables.
extension ReplicaWriter {
    /// Where the state of a row was found.
    enum Residence {
        /// Nowhere: nothing is known of the row.
        case absent
        /// In its table.
        case row(RowMeta)
        /// In the tombstones.
        case tombstone
        /// In the shadows; its table shows another form of it if there is `meta`.
        case shadow(RowMeta?, ShadowForm)

        /// The metadata of the row that the table shows, if it shows one.
        var meta: RowMeta? {
            switch self {
            case .row(let meta): meta
            case .shadow(let meta, _): meta
            case .absent, .tombstone: nil
            }
        }
    }

    /// A row's state and where it was found.
    struct Located {
        var state: RowState
        var residence: Residence
    }

    /// Reads states with this connection.
    var loader: RowStateLoader { RowStateLoader(connection: self.connection, origins: self.ledger.names) }

    /// The metadata of a visible row.
    func meta(_ plan: TablePlan, key: ValueRef) throws -> RowMeta? { try self.loader.meta(plan, key: key) }

    /// The whole state of a row as this node knows it.
    func locate(_ plan: TablePlan, key: SQLiteValue) throws -> Located {
        try ValueRef.with(key) { key in
            let loader = self.loader
            let meta = try loader.meta(plan, key: key)
            let entry = self.ledger.tables[plan.definition.number]
            if entry?.shadows ?? 0 > 0, let form = try self.shadowForm(plan, key: key),
                let state = try loader.stored("clinicsync_shadow", plan, key: key)
            {
                return Located(state: state, residence: .shadow(meta, form))
            }
            if let meta {
                return Located(state: try loader.state(plan, key: key, meta: meta), residence: .row(meta))
            }
            if entry?.tombstones ?? 0 > 0, let state = try loader.stored("clinicsync_tombstone", plan, key: key) {
                return Located(state: state, residence: .tombstone)
            }
            let empty = RowState(
                key: key.value,
                birth: .genesis,
                registers: Array(repeating: nil, count: plan.slotCount),
                counters: try loader.counters(plan, key: key)
            )
            return Located(state: empty, residence: .absent)
        }
    }

    /// The whole state of a row that something is to be merged into.
    ///
    /// A row that was written past the triggers is collected first, as this node's edit. Otherwise its new values would
    /// pass for those of the version known, and two nodes would show different values under one version for ever.
    func locateCollected(
        _ plan: TablePlan,
        key: SQLiteValue,
        offset: Int64,
        result: inout ApplyResult
    ) throws -> Located {
        let located = try self.locate(plan, key: key)
        guard case .row(let meta) = located.residence else { return located }
        let isAsKnown = ValueRef.with(key) { key in
            self.hash(plan, key: key, self.values(plan, of: located.state))
            return self.hashes.row == meta.hash
        }
        if isAsKnown { return located }
        try ValueRef.with(key) { try self.mark(plan, key: $0) }
        var events = EventCollector(isLocal: true)
        result.logged += try self.collectAll(offset: offset, events: &events)
        result.events += try self.record(events)
        result.hasCollected = true
        return try self.locate(plan, key: key)
    }

    // MARK: - Metadata

    /// Writes the metadata of a row with the hashes in `self.hashes`; keeps count and digest of the table.
    func writeMeta(
        _ plan: TablePlan,
        key: ValueRef,
        birth: LocalVersion,
        groups: [UInt8],
        context: Int?,
        replacing old: Digest?
    ) throws {
        let statement = try self.connection.statement(
            """
            INSERT INTO clinicsync_row (tableId, pk, timestamp, origin, sequence, hash, columns, registers, context)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
            ON CONFLICT (tableId, pk) DO UPDATE SET timestamp = ?3, origin = ?4, sequence = ?5, hash = ?6, columns = ?7,
            registers = ?8, context = ?9
            """
        )
        statement.bind(1, plan.definition.number).bind(2, key)
        statement.bind(3, birth.timestamp).bind(4, birth.origin).bind(5, birth.sequence)
        if groups.isEmpty { statement.bindNull(8) } else { statement.bind(8, blob: groups) }
        if let context { statement.bind(9, context) } else { statement.bindNull(9) }
        RowMeta.writeColumns(self.hashes, plan: plan, to: &self.scratch)
        try ReplicaWriter.withBytes(of: self.hashes.row) { hash in
            statement.bind(6, .blob(hash))
            try self.scratch.bytes.withUnsafeBytes { columns in
                statement.bind(7, .blob(columns))
                try statement.run()
            }
        }
        self.count(plan, rows: old == nil ? 1 : 0, adding: self.hashes.row, removing: old)
    }

    /// Removes the metadata of a row.
    func removeMeta(_ plan: TablePlan, key: ValueRef, hash: Digest) throws {
        try self.connection.statement("DELETE FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .run()
        self.count(plan, rows: -1, adding: nil, removing: hash)
    }

    private func count(_ plan: TablePlan, rows: Int64, adding new: Digest?, removing old: Digest?) {
        let number = plan.definition.number
        if let new { self.ledger.tables[number]?.digest += new }
        if let old { self.ledger.tables[number]?.digest -= old }
        self.ledger.tables[number]?.rows += rows
        self.ledger.tables[number]?.isChanged = true
    }

    // MARK: - Saving

    /// What programs see of a change.
    struct VisibleChange {
        var operation: RowOperation
        var slots: UInt64
    }

    /// Makes the tables show `state` if it is a plain row's: no other row's state has a say in it.
    ///
    /// Otherwise the state is kept among the shadows, and the row's form is worked out at the end of the transaction
    /// (``projectRows(events:)``), which tells programs then.
    ///
    /// `before` is the row as it was, `cause` the change that the event of the row is about. Returns what programs see change: `nil`
    /// when nothing visible did, or not yet.
    func save(
        _ plan: TablePlan,
        _ state: RowState,
        from before: Located,
        cause: ProjectionQueue.Cause?
    ) throws -> VisibleChange? {
        try ValueRef.with(state.key) { key in
            try self.saveCounters(plan, state, key: key)
            let isAlive = state.isVisible(plan.definition.deletePolicy)
            let entanglement = try self.entanglement(plan, state, isAlive: isAlive, before: before)
            if entanglement.isShadow {
                try self.stash(plan, state, key: key, before: before, cause: cause)
                return nil
            }
            do {
                let meta = before.residence.meta
                let change =
                    isAlive
                    ? try self.show(plan, state, key: key, meta: meta)
                    : try self.hide(plan, state, key: key, meta: meta)
                if case .tombstone = before.residence, isAlive { try self.forgetTombstone(plan, key: key) }
                if entanglement.isQueued { self.enqueue(plan, before: before, cause: cause) }
                return change
            } catch let failure as SQLiteFailure where failure.isConstraint {
                try self.stash(plan, state, key: key, before: before, cause: cause)
                return nil
            }
        }
    }

    func show(_ plan: TablePlan, _ state: RowState, key: ValueRef, meta: RowMeta?) throws -> VisibleChange? {
        let values = self.values(plan, of: state)
        self.hash(plan, key: key, values)
        var change: VisibleChange? = VisibleChange(operation: .insert, slots: plan.valueSlots)
        if let meta {
            let slots = meta.changedSlots(self.hashes, plan: plan)
            if slots != 0 {
                let statement = try self.connection.statement(plan.updateSQL(slots: slots))
                statement.bind(1, key)
                for (offset, slot) in slots.setBits.enumerated() { statement.bind(Int32(offset + 2), values[slot]) }
                try statement.run()
                // The row is not where it should be: somebody deleted it unnoticed. Let the collector see to it.
                if self.connection.changes == 0 { try self.mark(plan, key: key) }
            }
            change = slots == 0 ? nil : VisibleChange(operation: .update, slots: slots)
        } else {
            let statement = try self.connection.statement(plan.insertSQL)
            statement.bind(Int32(plan.keySlot + 1), key)
            for slot in plan.valueSlots.setBits { statement.bind(Int32(slot + 1), values[slot]) }
            try statement.run()
        }
        let birth = try self.local(state.birth)
        try self.writeMeta(
            plan,
            key: key,
            birth: birth,
            groups: try self.groups(plan, of: state, birth: birth),
            context: try state.deletion.map { try self.context($0) },
            replacing: meta?.hash
        )
        return change
    }

    func hide(_ plan: TablePlan, _ state: RowState, key: ValueRef, meta: RowMeta?) throws -> VisibleChange? {
        if let meta {
            try self.connection.statement(plan.deleteSQL).bind(1, key).run()
            try self.removeMeta(plan, key: key, hash: meta.hash)
        }
        try self.bury(plan, state, key: key)
        return meta == nil ? nil : VisibleChange(operation: .delete, slots: 0)
    }

    /// Writes the tombstone of a row that no table shows.
    func bury(_ plan: TablePlan, _ state: RowState, key: ValueRef) throws {
        guard let deletion = state.deletion else { return }
        var kept = state
        kept.counters = []
        kept.deletion = RowState.Deletion(seen: VersionVector(), version: deletion.version)
        var writer = RowStateWriter(plan)
        writer.append(kept)
        try self.connection
            .statement(
                """
                INSERT INTO clinicsync_tombstone (tableId, pk, timestamp, state, context) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT (tableId, pk) DO UPDATE SET timestamp = ?3, state = ?4, context = ?5
                """
            )
            .bind(1, plan.definition.number)
            .bind(2, key)
            .bind(3, deletion.version.timestamp.rawValue)
            .bind(4, blob: writer.payload())
            .bind(5, try self.context(deletion))
            .run()
        // Counts may be one too high after an overwrite; they only say whether looking is worth while.
        self.ledger.tables[plan.definition.number]?.tombstones += 1
    }

    /// Removes a tombstone whose row is visible again.
    func forgetTombstone(_ plan: TablePlan, key: ValueRef) throws {
        try self.connection.statement("DELETE FROM clinicsync_tombstone WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .run()
    }

    private func saveCounters(_ plan: TablePlan, _ state: RowState, key: ValueRef) throws {
        for part in state.counters {
            try self.connection
                .statement(
                    """
                    INSERT INTO clinicsync_counter (tableId, pk, slot, origin, total, sequence)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                    ON CONFLICT (tableId, pk, slot, origin) DO UPDATE SET total = ?5, sequence = ?6
                    WHERE sequence < ?6
                    """
                )
                .bind(1, plan.definition.number)
                .bind(2, key)
                .bind(3, part.slot)
                .bind(4, try self.id(of: part.origin))
                .bind(5, part.total)
                .bind(6, part.sequence)
                .run()
        }
    }

    /// The values of a state by slot, counters summed up.
    func values(_ plan: TablePlan, of state: RowState) -> [SQLiteValue] {
        (0..<plan.slotCount).map { slot in
            if plan.counterSlots & (1 << UInt64(slot)) != 0 { return .integer(state.counterValue(slot: slot)) }
            return state.value(slot: slot) ?? plan.defaults[slot]
        }
    }

    /// Fills `self.hashes` for a row.
    func hash(_ plan: TablePlan, key: ValueRef, _ values: [SQLiteValue]) {
        self.hashes.compute(plan: plan, key: key, scratch: &self.scratch) { slot -> UInt64 in
            ValueRef.with(values[slot], RowHashes.column)
        }
    }

    func groups(_ plan: TablePlan, of state: RowState, birth: LocalVersion) throws -> [UInt8] {
        var meta = RowMeta(birth: birth, hash: .zero, columns: [], groups: [], context: nil)
        for slot in (plan.valueSlots & ~plan.counterSlots).setBits {
            // What nobody is known to have written has the version that every other beats, not that of the birth.
            let version = state.version(slot: slot) ?? .genesis
            guard version != state.birth else { continue }
            meta.assign(1 << UInt64(slot), to: try self.local(version))
        }
        return meta.encodedGroups
    }

    /// Marks a row as possibly changed, for the collector.
    func mark(_ plan: TablePlan, key: ValueRef) throws {
        try self.connection
            .statement(
                """
                INSERT INTO clinicsync_dirty (tableId, pk, writtenAt, n) VALUES (?1, ?2, ?3, 1)
                ON CONFLICT (tableId, pk) DO UPDATE SET n = n + 1
                """
            )
            .bind(1, plan.definition.number)
            .bind(2, key)
            .bind(3, self.wallClock())
            .run()
    }

    // MARK: - Deletion contexts

    /// The number under which a deletion's vector is kept.
    func context(_ deletion: RowState.Deletion) throws -> Int {
        var writer = ByteWriter()
        writer.fixed64(deletion.version.timestamp.rawValue)
        writer.origin(deletion.version.origin)
        writer.unsigned(deletion.version.sequence)
        writer.raw(VectorCoding.encode(deletion.seen))
        let hash = Int64(bitPattern: writer.bytes.withUnsafeBytes { SipHash.hash64($0) })
        let id = try self.connection.statement("SELECT id FROM clinicsync_context WHERE hash = ?1")
            .bind(1, hash)
            .first { $0.int(0) }
        if let id { return id }
        try self.connection.statement("INSERT INTO clinicsync_context (hash, vector) VALUES (?1, ?2)")
            .bind(1, hash)
            .bind(2, blob: writer.bytes)
            .run()
        return try self.connection.statement("SELECT last_insert_rowid()").first { $0.int(0) } ?? 0
    }

    // MARK: - Bytes of digests

    /// Calls `body` with the 16 bytes of a digest, most significant first.
    static func withBytes<Result>(of digest: Digest, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows
        -> Result
    {
        try withUnsafeBytes(of: (digest.high.bigEndian, digest.low.bigEndian), body)
    }

    /// The digest of 16 bytes.
    static func digest(_ bytes: UnsafeRawBufferPointer) throws(MalformedRecord) -> Digest {
        guard bytes.count == 16 else { throw MalformedRecord(reason: "a row's hash is not 16 bytes") }
        return Digest(
            high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
            low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        )
    }
}
