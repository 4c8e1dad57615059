import ClinicSyncCore
import ClinicSyncModel

/// Bringing the tables in line with the forms.
extension Projection {
    /// What writing a row's form did.
    struct Written {
        let row: RowName
        let plan: TablePlan
        let change: ReplicaWriter.VisibleChange
        let values: [SQLiteValue]
    }

    /// A row that another stands in the way of, or that a constraint refuses.
    struct Refusal: Error {
        var row: RowName
        var message: String
        /// Rows that show a key which this one should show.
        var blockers: [RowName]
    }

    /// Writes all forms; nothing is written when it throws ``Refusal``.
    func write(_ forms: [(row: RowName, subject: Subject, form: Form)]) throws -> [Written] {
        let saved = self.writer.ledger
        try self.writer.connection.execute("SAVEPOINT clinicsync_projection")
        do {
            let written = try self.writeAll(forms)
            try self.writer.connection.execute("RELEASE clinicsync_projection")
            return written
        } catch {
            self.writer.ledger = saved
            try self.writer.connection.execute("ROLLBACK TO clinicsync_projection; RELEASE clinicsync_projection")
            throw error
        }
    }

    private func writeAll(_ forms: [(row: RowName, subject: Subject, form: Form)]) throws -> [Written] {
        // First whatever gives a key back leaves its table, so that two rows may exchange their keys.
        var lifted: Set<RowName> = []
        for (row, subject, form) in forms {
            guard let meta = subject.residence.meta else { continue }
            if case .shown(let shown) = form {
                self.hash(row, subject.plan, shown.values)
                let changed = meta.changedSlots(self.writer.hashes, plan: subject.plan)
                guard changed & subject.plan.uniqueSlots != 0 else { continue }
            }
            lifted.insert(row)
            try self.writer.connection.statement(subject.plan.deleteSQL).bind(1, row.key).run()
        }
        var written: [Written] = []
        for (row, subject, form) in forms {
            if let change = try self.write(row, subject, form, isLifted: lifted.contains(row)) {
                written.append(change)
            }
        }
        return written
    }

    private func hash(_ row: RowName, _ plan: TablePlan, _ values: [SQLiteValue]) {
        ValueRef.with(row.key) { self.writer.hash(plan, key: $0, values) }
    }

    private func write(_ row: RowName, _ subject: Subject, _ form: Form, isLifted: Bool) throws -> Written? {
        let plan = subject.plan
        return try ValueRef.with(row.key) { key in
            var change: ReplicaWriter.VisibleChange?
            var values = self.writer.values(plan, of: subject.state)
            switch form {
            case .deleted:
                change = try self.remove(subject, key: key)
                try self.writer.bury(plan, subject.state, key: key)
                try self.writer.deleteShadow(plan, key: key)
            case .hidden(let form):
                change = try self.remove(subject, key: key)
                try self.keep(row, subject, key: key, form: form)
            case .shown(let shown):
                values = shown.values
                do {
                    change = try self.show(row, subject, shown, key: key, isLifted: isLifted)
                } catch let failure as SQLiteFailure where failure.isConstraint {
                    let blockers = try self.holders(of: plan, values: shown.values, except: row)
                    throw Refusal(row: row, message: failure.message, blockers: blockers)
                }
                if shown.isPlain {
                    try self.writer.deleteShadow(plan, key: key)
                } else {
                    let form = shown.isRevived ? ShadowForm.revived : .shown
                    try self.keep(row, subject, key: key, form: form, wanted: shown.wanted)
                }
            }
            return change.map { Written(row: row, plan: plan, change: $0, values: values) }
        }
    }

    /// Keeps a row's state among the shadows, and its claims in the index.
    private func keep(
        _ row: RowName,
        _ subject: Subject,
        key: ValueRef,
        form: ShadowForm,
        wanted: Set<ClaimName> = []
    ) throws {
        try self.writer.writeShadow(subject.plan, subject.state, key: key, form: form)
        let claims = try self.writer.indexedClaims(row).filter { $0.rule < Projection.wantedRule }
        let own = claims.isEmpty ? try self.writer.plainClaims(subject.plan, subject.state) : claims
        try self.writer.index(row, claims: own.union(wanted))
    }

    /// Removes what the table shows of a row; its statement may have gone before.
    private func remove(_ subject: Subject, key: ValueRef) throws -> ReplicaWriter.VisibleChange? {
        guard let meta = subject.residence.meta else { return nil }
        try self.writer.removeMeta(subject.plan, key: key, hash: meta.hash)
        return ReplicaWriter.VisibleChange(operation: .delete, slots: 0)
    }

    private func show(
        _ row: RowName,
        _ subject: Subject,
        _ shown: Shown,
        key: ValueRef,
        isLifted: Bool
    ) throws -> ReplicaWriter.VisibleChange? {
        let plan = subject.plan
        let meta = subject.residence.meta
        self.hash(row, plan, shown.values)
        let slots = meta?.changedSlots(self.writer.hashes, plan: plan) ?? plan.valueSlots
        if meta == nil || isLifted {
            let statement = try self.writer.connection.statement(plan.insertSQL)
            statement.bind(Int32(plan.keySlot + 1), key)
            for slot in plan.valueSlots.setBits { statement.bind(Int32(slot + 1), shown.values[slot]) }
            try statement.run()
        } else if slots != 0 {
            let statement = try self.writer.connection.statement(plan.updateSQL(slots: slots))
            statement.bind(1, key)
            for (offset, slot) in slots.setBits.enumerated() { statement.bind(Int32(offset + 2), shown.values[slot]) }
            try statement.run()
        }
        if case .tombstone = subject.residence { try self.writer.forgetTombstone(plan, key: key) }
        let birth = try self.writer.local(subject.state.birth)
        var versions = subject.state
        versions.registers = shown.registers
        try self.writer.writeMeta(
            plan,
            key: key,
            birth: birth,
            groups: try self.writer.groups(plan, of: versions, birth: birth),
            context: try subject.state.deletion.map { try self.writer.context($0) },
            replacing: meta?.hash
        )
        if meta == nil { return ReplicaWriter.VisibleChange(operation: .insert, slots: plan.valueSlots) }
        return slots == 0 ? nil : ReplicaWriter.VisibleChange(operation: .update, slots: slots)
    }

    private func holders(of plan: TablePlan, values: [SQLiteValue], except row: RowName) throws -> [RowName] {
        var holders: [RowName] = []
        for rule in plan.uniqueRules {
            guard let claim = try self.writer.claim(plan, rule, values: values),
                let holder = try self.writer.holder(plan, rule, of: claim.value), holder != row
            else { continue }
            holders.append(holder)
        }
        return holders
    }
}

extension ReplicaWriter {
    /// Works out the form of every row that was queued, and brings tables and journal in line.
    ///
    /// Runs inside a write transaction, at its end: all states are what they will be.
    func projectRows(events: inout EventCollector) throws {
        if self.ledger.orphans > 0 { try self.queueOrphans() }
        while !self.projection.isEmpty {
            let projection = Projection(self)
            self.projection.removeAll()
            try projection.run(events: &events)
        }
    }

    /// The same for a transaction whose outcome has no events: the next one that has brings them.
    func projectUntold() throws {
        var events = EventCollector(isLocal: false)
        try self.projectRows(events: &events)
        self.lateEvents += try self.record(events)
    }

    /// The events that no outcome has brought yet.
    func takeLateEvents() -> [LoggedEvent] {
        defer { self.lateEvents = [] }
        return self.lateEvents
    }

    /// Works out anew every row that depends on others: the rules may be other ones since the schema changed.
    func projectAll() throws {
        guard try self.perform({ try ReplicaWriter.hasTable("clinicsync_shadow", self.connection) }) else { return }
        try self.transaction {
            for table in ["clinicsync_shadow", "clinicsync_tombstone"] {
                try self.connection.statement("SELECT tableId, pk FROM \(table)").forEach { row in
                    self.projection.add(RowName(table: row.int(0), key: row.ref(1).value))
                }
            }
            try self.projectUntold()
        }
    }

    /// Whether the file has a table of the node's; one of an earlier version that is not migrated yet may lack it.
    static func hasTable(_ name: String, _ connection: Connection) throws -> Bool {
        try connection.statement("SELECT 1 FROM sqlite_schema WHERE name = ?1").bind(1, text: name).first { _ in true }
            ?? false
    }

    /// Rows that wait are looked at again after everything: what they wait for may have come, or may never come.
    private func queueOrphans() throws {
        try self.connection
            .statement("SELECT tableId, pk FROM clinicsync_shadow WHERE form = ?1 LIMIT ?2")
            .bind(1, ShadowForm.waiting.rawValue)
            .bind(2, ReplicaWriter.orphansMax)
            .forEach { self.projection.add(RowName(table: $0.int(0), key: $0.ref(1).value)) }
    }

    /// So many rows that wait are looked at after a change: enough to catch up, too few to be felt.
    static let orphansMax = 200

    /// Whether the batch that carried a version is applied here.
    func hasApplied(_ version: Version) -> Bool {
        guard version.sequence > 0 else { return true }
        guard let id = self.ledger.id(of: version.origin) else { return false }
        return self.ledger.origins[id].sequence >= version.sequence
    }
}

extension Projection {
    /// Evaluates and writes.
    func run(events: inout EventCollector) throws {
        try self.revive()
        try self.close()
        var written: [Written] = []
        var forms: [(row: RowName, subject: Subject, form: Form)] = []
        while true {
            self.forgetResults()
            forms = try self.order.compactMap { row in
                try self.subject(row).map { (row, $0, try self.form(of: row, $0)) }
            }
            do {
                written = try self.write(forms)
                break
            } catch let refusal as Refusal {
                let unknown = refusal.blockers.filter { !self.visited.contains($0) }
                guard !unknown.isEmpty else {
                    // Nothing can be moved out of the way: the row is set aside, on every node alike.
                    guard self.refused.updateValue(refusal.message, forKey: refusal.row) == nil else {
                        throw StoreError(code: .corrupt, message: refusal.message)
                    }
                    continue
                }
                for row in unknown { self.visit(row) }
                try self.close()
            }
        }
        for (row, subject, form) in forms {
            try self.noteRefusal(row, subject, form)
            try self.writer.settleConflicts(
                subject.plan,
                key: row.key,
                derived: try self.conflicts(row, subject, form),
                events: &events
            )
        }
        for change in written { try self.tell(change, events: &events) }
    }

    private func tell(_ written: Written, events: inout EventCollector) throws {
        let cause = self.queue.entries[written.row]?.cause
        let latest = try self.subject(written.row)?.state.largestTimestamp ?? .genesis
        events.add(
            written.change,
            plan: written.plan,
            key: written.row.key,
            timestamp: cause?.timestamp ?? latest,
            batch: cause?.batch
        ) { written.values[$0] }
    }

    /// Says in `status` that a row was set aside, or no longer.
    private func noteRefusal(_ row: RowName, _ subject: Subject, _ form: Form) throws {
        if case .hidden(.setAside) = form, let message = self.refused[row] {
            try self.writer.note(row, reason: message)
        } else if self.writer.ledger.waiting > 0 {
            try self.writer.removeNote(row)
        }
    }
}

extension ReplicaWriter {
    /// Notes that something was set aside, and why; the reason names columns, never values.
    func note(_ row: RowName, reason: String) throws {
        try self.connection
            .statement(
                """
                INSERT INTO clinicsync_waiting (tableId, pk, reason, since) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (tableId, pk) DO NOTHING
                """
            )
            .bind(1, row.table)
            .bind(2, row.key)
            .bind(3, text: reason)
            .bind(4, self.wallClock())
            .run()
        self.ledger.waiting += self.connection.changes
    }

    /// Removes a note.
    func removeNote(_ row: RowName) throws {
        try self.connection.statement("DELETE FROM clinicsync_waiting WHERE tableId = ?1 AND pk = ?2")
            .bind(1, row.table)
            .bind(2, row.key)
            .run()
        self.ledger.waiting -= self.connection.changes
    }
}
