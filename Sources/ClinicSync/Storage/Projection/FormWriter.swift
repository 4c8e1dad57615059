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
    private var hasher = RowHasher()

    /// Writes to the tables of `rows`.
    init(rows: RowStates, claims: Claims, transactions: Transactions) {
        self.rows = rows
        self.claims = claims
        self.transactions = transactions
    }

    /// Writes all forms.
    ///
    /// - Throws: ``Refusal``; nothing is written then.
    func write(_ forms: [FormedRow], in transaction: borrowing WriteTransaction) throws -> [Written] {
        try self.transactions.savepoint(in: transaction) {
            let lifted = try self.lift(forms, in: transaction)
            return try forms.compactMap { try self.write($0, isLifted: lifted.contains($0.row), in: transaction) }
        }
    }

    /// Takes rows that give a key back out of their tables, so that two rows may exchange their keys.
    private func lift(_ forms: [FormedRow], in transaction: borrowing WriteTransaction) throws -> Set<RowName> {
        var lifted: Set<RowName> = []
        for formed in forms {
            let plan = formed.subject.plan
            guard let meta = formed.subject.residence.meta else { continue }
            if case .shown(let shown) = formed.form {
                ValueRef.with(formed.row.key) { _ = self.hasher.hash(plan, key: $0, shown.values) }
                let changed = meta.changedSlots(self.hasher.hashes, plan: plan)
                guard changed & plan.uniqueSlots != 0 else { continue }
            }
            lifted.insert(formed.row)
            try transaction.statement(plan.sql.delete).bind(1, formed.row.key).run()
        }
        return lifted
    }

    private func write(
        _ formed: FormedRow,
        isLifted: Bool,
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
                change = try self.show(row, subject, shown, key: key, isLifted: isLifted, in: transaction)
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

    /// Removes the metadata of a row that was taken out of its table.
    private func remove(
        _ subject: Subject,
        key: ValueRef,
        in transaction: borrowing WriteTransaction
    ) throws -> VisibleChange? {
        guard let meta = subject.residence.meta else { return nil }
        try self.rows.table.remove(subject.plan, key: key, hash: meta.hash, in: transaction)
        return VisibleChange(operation: .delete, slots: 0)
    }

    private func show(
        _ row: RowName,
        _ subject: Subject,
        _ shown: RowFacts.Shown,
        key: ValueRef,
        isLifted: Bool,
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
                isLifted: isLifted,
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
