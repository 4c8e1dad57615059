import ClinicSyncCore
import ClinicSyncModel

/// Makes tables show what follows from all rows' states.
///
/// ``RowSaver`` queues the rows that changed and whose form depends on other rows. At the end of a transaction the projection finds
/// all rows whose form may have changed, computes the forms, writes them, and brings the conflict journal in line.
final class Projection: TransactionPart {
    private let rows: RowStates
    private let saver: RowSaver
    private let writer: FormWriter
    private let journal: ConflictJournal
    private let notes: StoreNotes
    private let events: EventLog
    private let common: CommonRules

    /// This many rows that wait are looked at after a change: enough to catch up, too few to slow transactions down.
    private static let waitingMax = 200

    /// So many queued rows are worth a run of their own in the midst of a slice.
    private static let manyRows = 32

    /// Projects the rows that `saver` queues.
    init(
        saver: RowSaver,
        transactions: Transactions,
        journal: ConflictJournal,
        notes: StoreNotes,
        events: EventLog,
        common: CommonRules
    ) {
        self.rows = saver.rows
        self.saver = saver
        self.writer = FormWriter(rows: saver.rows, claims: saver.claims, transactions: transactions)
        self.journal = journal
        self.notes = notes
        self.events = events
        self.common = common
    }

    func memory() -> () -> Void { {} }

    func willCommit(_ transaction: borrowing WriteTransaction) throws {
        guard !self.saver.queue.isEmpty else { return }
        // The outcome of this transaction has no place for these events; the next outcome brings them.
        var events = EventCollector(isLocal: false)
        try self.project(events: &events, in: transaction)
        try self.events.recordLate(events, in: transaction)
    }

    /// Computes the form of every row that was queued, and brings tables and journal in line.
    ///
    /// Call it at the end of a transaction, when all states are final.
    func project(events: inout EventCollector, in transaction: borrowing WriteTransaction) throws {
        if self.rows.shadows.hasWaiting {
            // What these rows wait for may have come, or may never come.
            let waiting = try self.rows.shadows.rows(
                in: .waiting,
                limit: Projection.waitingMax,
                on: transaction.connection
            )
            for row in waiting { self.saver.enqueue(row) }
        }
        while !self.saver.queue.isEmpty {
            try self.run(self.saver.takeQueue(), events: &events, in: transaction)
        }
    }

    /// Does what ``project(events:in:)`` does, if so many rows are queued that their forms take milliseconds.
    func projectMany(events: inout EventCollector, in transaction: borrowing WriteTransaction) throws {
        guard self.saver.queue.order.count >= Projection.manyRows else { return }
        try self.run(self.saver.takeQueue(), events: &events, in: transaction)
    }

    /// Queues every row that depends on others: the rules may have changed with the schema.
    func enqueueAll(in transaction: borrowing WriteTransaction) throws {
        guard try transaction.connection.hasTable("clinicsync_shadow") else { return }
        for table in ["clinicsync_shadow", "clinicsync_tombstone"] {
            try transaction.statement("SELECT tableId, pk FROM \(table)").forEach { row in
                self.saver.enqueue(RowName(table: row.int(0), key: row.ref(1).value))
            }
        }
    }

    /// Queues the rows that a constraint refuses: what stood against them may be gone.
    func enqueueRefused(on connection: Connection) throws {
        guard try self.hasRefused(on: connection) else { return }
        for row in try self.rows.shadows.rows(in: .setAside, on: connection) { self.saver.enqueue(row) }
    }

    /// Whether a constraint refuses rows.
    func hasRefused(on connection: Connection) throws -> Bool {
        // A file that waits for its migration has no such table.
        try !self.rows.shadows.isEmpty && !self.rows.shadows.rows(in: .setAside, limit: 1, on: connection).isEmpty
    }

    // MARK: - One run

    /// Why a row is set aside.
    private struct Reason {
        /// What the constraint said.
        var message: String
        /// Whether only this PC's file has the constraint.
        var isOwn: Bool
    }

    /// Judges a refusal that no other row's key explains.
    private func reason(_ refusal: FormWriter.Refusal, _ forms: [FormedRow]) throws -> Reason {
        guard let formed = forms.first(where: { $0.row == refusal.row }), case .shown(let shown) = formed.form else {
            return Reason(message: refusal.message, isOwn: false)
        }
        let plan = formed.subject.plan
        let isOwn = try self.common.accept(plan, key: refusal.row.key, values: shown.values)
        guard isOwn else { return Reason(message: refusal.message, isOwn: false) }
        let indexes = plan.definition.ownIndexes.map(\.name).joined(separator: ", ")
        let named = indexes.isEmpty ? "" : ", unique indexes of its own: \(indexes)"
        let message =
            "only this PC's database refuses it (\(refusal.message)\(named)): remove that constraint here, "
            + "or make it the clinic's by a migration and a rule in clinic.json"
        return Reason(message: message, isOwn: true)
    }

    private func run(
        _ queue: ProjectionQueue,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        let facts = RowFacts(rows: self.rows, claims: self.saver.claims, on: transaction.connection)
        let affected = AffectedRows(queue, facts: facts)
        try affected.revive(in: transaction)
        try affected.close(in: transaction)
        // Rows that a constraint refuses in this run, with what it says.
        var refused: [RowName: Reason] = [:]
        var written: [FormWriter.Written] = []
        var forms: [FormedRow] = []
        while true {
            forms = try self.forms(of: affected, facts, refused: refused, in: transaction)
            do {
                written = try self.writer.write(forms, in: transaction)
                break
            } catch let refusal as FormWriter.Refusal {
                let unknown = refusal.blockers.filter { !affected.contains($0) }
                guard !unknown.isEmpty else {
                    // Nothing can be moved out of the way: the row is set aside, on every node alike.
                    guard refused.updateValue(try self.reason(refusal, forms), forKey: refusal.row) == nil else {
                        throw StoreError(code: .corrupt, message: refusal.message)
                    }
                    continue
                }
                for row in unknown { affected.add(row) }
                try affected.close(in: transaction)
            }
        }
        let conflicts = FormConflicts(facts: facts)
        for formed in forms {
            let refusal = refused[formed.row]
            try self.noteRefusal(refusal?.message, of: formed, in: transaction)
            // What only this PC's file refuses is in no journal: the other nodes show the row.
            let common =
                refusal?.isOwn == true
                ? try facts.form(of: formed.row, formed.subject, isRefused: false) : formed.form
            try self.journal.settle(
                formed.subject.plan,
                key: formed.row.key,
                derived: try conflicts.conflicts(
                    formed.row,
                    formed.subject,
                    common,
                    refusal: refusal?.message
                ),
                events: &events,
                in: transaction
            )
        }
        for change in written {
            let cause = queue.entries[change.row]?.cause
            let latest = try facts.subject(change.row)?.state.largestTimestamp ?? .genesis
            events.add(
                change.change,
                plan: change.plan,
                key: change.row.key,
                timestamp: cause?.timestamp ?? latest,
                batch: cause?.batch
            ) { change.values[$0] }
        }
    }

    /// Computes the forms of the affected rows; rows with keys that other rows would show become affected too.
    private func forms(
        of affected: AffectedRows,
        _ facts: RowFacts,
        refused: [RowName: Reason],
        in transaction: borrowing WriteTransaction
    ) throws -> [FormedRow] {
        while true {
            facts.forgetResults()
            let forms: [FormedRow] = try affected.order.compactMap { row in
                guard let subject = try facts.subject(row) else { return nil }
                let form = try facts.form(of: row, subject, isRefused: refused[row] != nil)
                return FormedRow(row: row, subject: subject, form: form)
            }
            let wanted = WantedKeys(forms)
            let owners = try wanted.owners(facts).filter { !affected.contains($0) }
            guard !owners.isEmpty else {
                return try forms.map { try wanted.mark($0, facts, affected) }
            }
            for row in owners { affected.add(row) }
            try affected.close(in: transaction)
        }
    }

    /// Says in `status` that a row was set aside, or no longer.
    private func noteRefusal(
        _ refusal: String?,
        of formed: FormedRow,
        in transaction: borrowing WriteTransaction
    ) throws {
        if case .hidden(.setAside) = formed.form, let refusal {
            try self.notes.add(formed.row, reason: refusal, in: transaction)
        } else if !self.notes.isEmpty {
            try self.notes.remove(formed.row, in: transaction)
        }
    }
}
