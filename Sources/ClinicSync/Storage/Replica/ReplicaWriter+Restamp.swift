package import ClinicSyncCore
import ClinicSyncModel

/// Stamping anew what was stamped with a wrong clock and nobody else has seen.
///
/// Why and when: `docs/design/0006-clocks-and-clones.md`.
extension ReplicaWriter {
    /// From now on nobody else can have the batches that are made; see ``StorageRequest/beginIsolation``.
    package func beginIsolation() {
        guard self.ledger.unsharedFrom == nil else { return }
        self.ledger.unsharedFrom = self.ledger.origins[self.ownID].sequence + 1
    }

    /// Ends the isolation: stamps anew what was made in it, if the clock was wrong by more than half a second, and counts every
    /// own batch as shared from then on, also after a power cut.
    ///
    /// Takes one transaction, about 20 microseconds for each change that was made since the node met others last.
    ///
    /// - Parameter offset: what to add to this PC's time to get the clinic's.
    /// - Returns: how many changes have other stamps now, and what was collected on the way.
    /// - Throws: ``StoreError``; the stamps are as before then, and stay so.
    package func restamp(
        clockOffsetMilliseconds offset: Int64
    ) throws -> (changes: Int, outcome: CollectOutcome) {
        self.clockOffsetMilliseconds = offset
        do {
            return try self.endIsolation(offset: offset)
        } catch {
            // The exchange may begin all the same: nothing that was made until now may be stamped anew later.
            self.mustCountAllAsShared = true
            throw error
        }
    }

    private func endIsolation(offset: Int64) throws -> (changes: Int, outcome: CollectOutcome) {
        var logged: [LoggedChunk] = []
        var events: [LoggedEvent] = []
        if self.bulk != nil { try self.finishBulk(offset: offset, logged: &logged, events: &events) }
        var changes = 0
        if self.ledger.unsharedFrom != nil {
            try self.durably {
                try self.transaction {
                    changes = try self.correctStamps(offset: offset)
                    try self.countAllAsShared()
                    var collector = EventCollector(isLocal: false)
                    try self.projectRows(events: &collector)
                    events += try self.record(collector)
                }
            }
        }
        let outcome = CollectOutcome(
            logged: logged,
            vector: self.ledger.vector,
            events: events,
            hasMore: false,
            repairedTables: []
        )
        return (changes, outcome)
    }

    /// Gives up correcting stamps: somebody may have seen them, or something was merged by them.
    ///
    /// Runs inside a write transaction.
    func countAllAsShared() throws {
        guard self.ledger.unsharedFrom != nil else { return }
        self.ledger.unsharedFrom = nil
        try self.connection.execute("DELETE FROM clinicsync_unshared")
    }

    /// Notes that an own batch was begun or went on in isolation.
    ///
    /// Runs inside the write transaction that logs it.
    func noteUnshared(_ builder: BatchBuilder) throws {
        guard self.ledger.unsharedFrom != nil else { return }
        try self.connection
            .statement(
                """
                INSERT INTO clinicsync_unshared (origin, sequence, clockOffset, floor) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (origin, sequence) DO UPDATE SET floor = max(floor, ?4)
                """
            )
            .bind(1, self.ownID)
            .bind(2, builder.id.sequence)
            .bind(3, builder.clockOffset)
            .bind(4, builder.floor.rawValue)
            .run()
    }

    /// Whether a version is of a batch that others may have.
    func isShared(_ version: LocalVersion) -> Bool {
        guard version.origin == self.ownID, let first = self.ledger.unsharedFrom else { return true }
        return version.sequence < first
    }

    /// The largest stamp in a state that is not of an unshared batch.
    func sharedFloor(of state: RowState) -> HybridTimestamp {
        func stamp(_ version: Version) -> HybridTimestamp {
            guard version.origin == self.origin, let first = self.ledger.unsharedFrom, version.sequence >= first else {
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

    // MARK: - Correcting

    private func correctStamps(offset: Int64) throws -> Int {
        let batches = try self.unsharedBatches()
        let now = HybridTimestamp(milliseconds: self.wallClock() + offset)
        let others = self.ledger.origins.indices.filter { $0 != self.ownID }
        let stamps = others.map { HybridTimestamp(rawValue: self.ledger.origins[$0].timestamp) }.filter { $0 <= now }
        var correction = StampCorrection(clockOffset: offset, now: now, lastContact: stamps.max() ?? .genesis)
        guard try self.isAnyWrong(batches, correction) else { return 0 }
        for batch in batches { try self.rewrite(batch, &correction) }
        for (row, corrections) in correction.corrections {
            guard let plan = self.plans[row.table] else { continue }
            try self.restampMetadata(plan, key: row.key, by: corrections)
        }
        return correction.corrections.values.reduce(0) { $0 + $1.count { $0.old != $0.new } }
    }

    private func unsharedBatches() throws -> [StampCorrection.Batch] {
        var batches: [StampCorrection.Batch] = []
        try self.connection
            .statement(
                """
                SELECT sequence, clockOffset, floor FROM clinicsync_unshared
                WHERE origin = ?1 AND sequence > ?2 ORDER BY sequence
                """
            )
            .bind(1, self.ownID)
            .bind(2, try self.acknowledgedOwn())
            .forEach { row in
                let floor = HybridTimestamp(rawValue: row.unsigned(2))
                let batch = StampCorrection.Batch(sequence: row.unsigned(0), clockOffset: row.int64(1), floor: floor)
                batches.append(batch)
            }
        return batches
    }

    private func isAnyWrong(_ batches: [StampCorrection.Batch], _ correction: StampCorrection) throws -> Bool {
        for batch in batches {
            guard let header = try self.header(originID: self.ownID, sequence: batch.sequence) else { continue }
            var largest: Int64 = 0
            for chunk in try self.ownChunks(batch.sequence) {
                _ = try chunk.payload.withUnsafeBytes { payload in
                    try ChunkRestamper.rewrite(payload, base: header.timestamp, newBase: header.timestamp) { change in
                        let stamp = change.timestamp
                        let estimate = correction.estimate(stamp, storedAt: chunk.storedAt, of: batch)
                        largest = max(largest, abs(estimate.milliseconds - stamp.milliseconds))
                        return stamp
                    }
                }
                if largest > ReplicaWriter.clockToleranceMilliseconds { return true }
            }
        }
        return false
    }

    /// A chunk of an own batch in the log.
    private struct OwnChunk {
        var position: UInt64
        var storedAt: Int64
        var payload: [UInt8]
    }

    private func ownChunks(_ sequence: UInt64) throws -> [OwnChunk] {
        var chunks: [OwnChunk] = []
        try self.connection
            .statement(
                "SELECT position, storedAt, payload FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 ORDER BY chunk"
            )
            .bind(1, self.ownID)
            .bind(2, sequence)
            .forEach { row in
                let payload = Array(row.blob(2))
                chunks.append(OwnChunk(position: row.unsigned(0), storedAt: row.int64(1), payload: payload))
            }
        return chunks
    }

    /// Rewrites the chunks of a batch where they stand in the log.
    private func rewrite(_ batch: StampCorrection.Batch, _ correction: inout StampCorrection) throws {
        guard let header = try self.header(originID: self.ownID, sequence: batch.sequence) else { return }
        // Any stamp serves: those of the changes are written relative to it.
        let newHeader = BatchHeader(
            timestamp: correction.now,
            dependencies: header.dependencies,
            schemaVersion: header.schemaVersion
        )
        for (index, chunk) in try self.ownChunks(batch.sequence).enumerated() {
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
            let checksum = payload.withUnsafeBytes { SipHash.hash64($0) }
            try self.connection
                .statement("UPDATE clinicsync_log SET payload = ?2, checksum = ?3 WHERE position = ?1")
                .bind(1, chunk.position)
                .bind(2, blob: payload)
                .bind(3, checksum)
                .run()
            guard index == 0 else { continue }
            try self.connection.statement("UPDATE clinicsync_log SET header = ?2 WHERE position = ?1")
                .bind(1, chunk.position)
                .bind(2, blob: VectorCoding.encode(newHeader))
                .run()
        }
    }

    // MARK: - What is known of the rows

    /// Brings what is known of a row in line with the log.
    private func restampMetadata(
        _ plan: TablePlan,
        key: SQLiteValue,
        by corrections: [StampCorrection.Correction]
    ) throws {
        let located = try self.locate(plan, key: key)
        var state = located.state
        state.birth = self.corrected(state.birth, by: corrections)
        for slot in state.registers.indices {
            guard let version = state.registers[slot]?.version else { continue }
            state.registers[slot]?.version = self.corrected(version, by: corrections)
        }
        if let version = state.deletion?.version {
            state.deletion?.version = self.corrected(version, by: corrections)
        }
        if var meta = located.residence.meta {
            meta.birth = self.corrected(meta.birth, by: corrections)
            for index in meta.groups.indices {
                meta.groups[index].version = self.corrected(meta.groups[index].version, by: corrections)
            }
            meta.context = try state.deletion.map { try self.context($0) }
            try self.replaceVersions(plan, key: key, by: meta)
        }
        switch located.residence {
        case .absent, .row: break
        case .tombstone: try ValueRef.with(key) { try self.bury(plan, state, key: $0) }
        case .shadow(_, let form):
            try ValueRef.with(key) { try self.writeShadow(plan, state, key: $0, form: form) }
            self.projection.add(RowName(table: plan.definition.number, key: key))
        }
    }

    private func corrected(_ version: Version, by corrections: [StampCorrection.Correction]) -> Version {
        guard version.origin == self.origin else { return version }
        let correction = corrections.last { $0.sequence == version.sequence && $0.old == version.timestamp }
        return Version(
            timestamp: correction?.new ?? version.timestamp,
            origin: version.origin,
            sequence: version.sequence
        )
    }

    private func corrected(_ version: LocalVersion, by corrections: [StampCorrection.Correction]) -> LocalVersion {
        guard version.origin == self.ownID else { return version }
        let correction = corrections.last {
            $0.sequence == version.sequence && $0.old.rawValue == version.timestamp
        }
        return LocalVersion(
            timestamp: correction?.new.rawValue ?? version.timestamp,
            origin: version.origin,
            sequence: version.sequence
        )
    }

    /// Writes the versions of a row's columns as `meta` has them.
    func replaceVersions(_ plan: TablePlan, key: SQLiteValue, by meta: RowMeta) throws {
        let statement = try self.connection.statement(
            """
            UPDATE clinicsync_row SET timestamp = ?3, registers = ?4, context = ?5 WHERE tableId = ?1 AND pk = ?2
            """
        )
        let groups = meta.encodedGroups
        statement.bind(1, plan.definition.number).bind(2, key).bind(3, meta.birth.timestamp)
        if groups.isEmpty { statement.bindNull(4) } else { statement.bind(4, blob: groups) }
        if let context = meta.context { statement.bind(5, context) } else { statement.bindNull(5) }
        try statement.run()
    }
}
