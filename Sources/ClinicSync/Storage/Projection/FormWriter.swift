import ClinicSyncCore
import ClinicSyncModel

/// A row with the form that was computed for it.
struct FormedRow {
    let row: RowName
    let subject: Subject
    let form: RowFacts.Form
}

/// Brings the tables in line with the forms.
final class FormWriter {
    /// What programs see of a form that was written.
    struct Written {
        let row: RowName
        let plan: TablePlan
        let change: VisibleChange
        let values: [SQLiteValue]
    }

    /// A constraint refuses a row, perhaps because another row shows its key.
    struct Refusal: Error {
        var row: RowName
        /// What the constraint said; it names columns, never values.
        var message: String
        /// Rows that show a key which this row should show.
        var blockers: [RowName]
    }

    private let rows: RowStates
    private let claims: Claims
    private let transactions: Transactions

    /// Writes to the tables of `rows`.
    init(rows: RowStates, claims: Claims, transactions: Transactions) {
        self.rows = rows
        self.claims = claims
        self.transactions = transactions
    }

    /// Writes all forms.
    ///
    /// A row that stays in its table is changed in place: its rowid stays, and so do columns that this node does not know.
    ///
    /// - Throws: ``Refusal``; nothing is written then.
    func write(_ forms: [FormedRow], in transaction: borrowing WriteTransaction) throws -> [Written] {
        try self.transactions.savepoint(in: transaction) {
            var order = WritingOrder(forms)
            // Rows that leave their tables give their keys back first.
            for index in order.leaving {
                order.note(try self.write(forms[index], lifted: nil, in: transaction), at: index)
            }
            while let index = order.next {
                do {
                    let lifted = order.lifted(at: index)
                    order.note(try self.write(forms[index], lifted: lifted, in: transaction), at: index)
                } catch let refusal as Refusal {
                    guard let blocker = refusal.blockers.first(where: { order.isPending($0) }) else { throw refusal }
                    guard let circle = order.writeFirst(blocker) else { continue }
                    // Two rows wait for each other's key: one is taken out of its table for a moment.
                    let formed = forms[circle]
                    order.note(
                        lifted: try self.rows.lift(formed.subject.plan, key: formed.row.key, in: transaction),
                        at: circle
                    )
                }
            }
            return order.written
        }
    }

    private func write(
        _ formed: FormedRow,
        lifted: LiftedRow?,
        in transaction: borrowing WriteTransaction
    ) throws -> Written? {
        let (row, subject) = (formed.row, formed.subject)
        let plan = subject.plan
        return try ValueRef.with(row.key) { key in
            var change: VisibleChange?
            var values = plan.values(of: subject.state)
            switch formed.form {
            case .deleted:
                change = try self.remove(subject, key: key, in: transaction)
                try self.rows.tombstones.bury(plan, subject.state, key: key, in: transaction)
                try self.rows.shadows.remove(plan, key: key, in: transaction)
            case .hidden(let form):
                change = try self.remove(subject, key: key, in: transaction)
                try self.keep(row, subject, key: key, form: form, in: transaction)
            case .shown(let shown):
                values = shown.values
                change = try self.show(row, subject, shown, key: key, lifted: lifted, in: transaction)
                if shown.isPlain {
                    try self.rows.shadows.remove(plan, key: key, in: transaction)
                } else {
                    let form = shown.isRevived ? ShadowForm.revived : .shown
                    try self.keep(row, subject, key: key, form: form, wanted: shown.wanted, in: transaction)
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
        wanted: Set<ClaimName> = [],
        in transaction: borrowing WriteTransaction
    ) throws {
        try self.rows.shadows.write(subject.plan, subject.state, key: key, form: form, in: transaction)
        let claims = try self.claims.indexed(row, on: transaction.connection).filter { !$0.isWanted }
        let own =
            claims.isEmpty
            ? try self.claims.plain(subject.plan, subject.state, on: transaction.connection) : claims
        try self.claims.index(row, claims: own.union(wanted), in: transaction)
    }

    /// Takes a row out of its table, with its metadata.
    private func remove(
        _ subject: Subject,
        key: ValueRef,
        in transaction: borrowing WriteTransaction
    ) throws -> VisibleChange? {
        guard let meta = subject.residence.meta else { return nil }
        try TableRows().delete(subject.plan, key: key, in: transaction)
        try self.rows.table.remove(subject.plan, key: key, hash: meta.hash, in: transaction)
        return VisibleChange(operation: .delete, slots: 0)
    }

    private func show(
        _ row: RowName,
        _ subject: Subject,
        _ shown: RowFacts.Shown,
        key: ValueRef,
        lifted: LiftedRow?,
        in transaction: borrowing WriteTransaction
    ) throws -> VisibleChange? {
        let plan = subject.plan
        var versions = subject.state
        versions.registers = shown.registers
        do {
            let change = try self.rows.show(
                plan,
                versions,
                values: shown.values,
                key: key,
                meta: subject.residence.meta,
                lifted: lifted,
                in: transaction
            )
            if case .tombstone = subject.residence {
                try self.rows.tombstones.remove(plan, key: key, in: transaction)
            }
            return change
        } catch let failure as SQLiteFailure where failure.isConstraint {
            let blockers = try self.holders(of: plan, values: shown.values, except: row, on: transaction.connection)
            throw Refusal(row: row, message: failure.message, blockers: blockers)
        }
    }

    private func holders(
        of plan: TablePlan,
        values: [SQLiteValue],
        except row: RowName,
        on connection: Connection
    ) throws -> [RowName] {
        var holders: [RowName] = []
        for rule in plan.uniqueRules {
            guard let claim = try self.claims.key(plan, rule, values: values, on: connection),
                let holder = try self.claims.holder(plan, rule, of: claim.value, on: connection), holder != row
            else { continue }
            holders.append(holder)
        }
        return holders
    }
}
