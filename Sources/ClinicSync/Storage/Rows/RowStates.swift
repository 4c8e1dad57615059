import ClinicSyncCore
import ClinicSyncModel

/// Where the state of a row was found.
enum RowResidence {
    /// Nowhere: the node knows nothing of the row.
    case absent
    /// In its table.
    case row(RowMeta)
    /// In the tombstones.
    case tombstone
    /// In the shadows; its table shows another form of the row if there is `meta`.
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
struct LocatedRow {
    var state: RowState
    var residence: RowResidence

    /// Whether the node knows nothing of the row.
    var isAbsent: Bool {
        if case .absent = self.residence { true } else { false }
    }
}

/// What is kept of a row that was taken out of its table for a moment: the columns that this node does not know.
struct LiftedRow {
    /// A value with the name of its column.
    struct Column {
        var name: String
        var value: SQLiteValue
    }

    /// The columns that this node does not know.
    let columns: [Column]

    init(_ columns: [Column]) { self.columns = columns }
}

/// What programs see of a change.
struct VisibleChange {
    var operation: RowOperation
    var slots: UInt64
}

/// Finds rows' states, and shows or hides rows whose form is their own state.
final class RowStates {
    /// The plans of the tables as the schema was last read.
    private(set) var plans: TablePlans
    /// Counts how often the plans were replaced.
    private(set) var generation = 0
    let origins: Origins
    let table: RowTable
    let tombstones: Tombstones
    let shadows: Shadows
    let sums: StateSums
    let marks: Marks
    private let contexts: DeletionContexts
    private let existing: (Origin) -> UInt64
    private var hasher = RowHasher()

    /// Works on these tables.
    init(
        plans: TablePlans,
        origins: Origins,
        table: RowTable,
        tombstones: Tombstones,
        shadows: Shadows,
        sums: StateSums,
        contexts: DeletionContexts,
        marks: Marks
    ) {
        self.plans = plans
        self.origins = origins
        self.table = table
        self.tombstones = tombstones
        self.shadows = shadows
        self.sums = sums
        self.contexts = contexts
        self.marks = marks
        self.existing = { origins.sequence(of: $0) }
    }

    /// Works by these plans from now on: a program changed the schema.
    func use(_ plans: TablePlans) {
        self.plans = plans
        self.sums.use(plans)
        self.generation += 1
    }

    // MARK: - Finding

    /// Reads stored states with this connection.
    func loader(_ connection: Connection) -> RowStateLoader {
        RowStateLoader(connection: connection, origins: self.origins.names, existing: self.existing)
    }

    /// The whole state of a row as this node knows it.
    func locate(_ plan: TablePlan, key: SQLiteValue, on connection: Connection) throws -> LocatedRow {
        try ValueRef.with(key) { key in
            let loader = self.loader(connection)
            let meta = try loader.meta(plan, key: key)
            if let form = try self.shadows.form(plan, key: key, on: connection),
                let state = try loader.stored(.shadow, plan, key: key)
            {
                return LocatedRow(state: state, residence: .shadow(meta, form))
            }
            if let meta {
                return LocatedRow(state: try loader.state(plan, key: key, meta: meta), residence: .row(meta))
            }
            if self.tombstones.mayExist(in: plan.definition.number),
                let state = try loader.stored(.tombstone, plan, key: key)
            {
                return LocatedRow(state: state, residence: .tombstone)
            }
            return LocatedRow(state: try loader.counters(plan, key: key), residence: .absent)
        }
    }

    /// Whether a table shows of a row what the node knows of it; `false` when a program wrote past the capture triggers.
    func isAsKnown(_ plan: TablePlan, _ located: LocatedRow) -> Bool {
        guard case .row(let meta) = located.residence else { return true }
        return ValueRef.with(located.state.key) { key in
            self.hasher.hash(plan, key: key, plan.values(of: located.state))
            return meta.changedSlots(self.hasher.hashes, plan: plan) == 0
        }
    }

    /// Whether the file has of a hidden or deleted row what was read of it: damage that reading corrects does not last.
    func isKept(_ plan: TablePlan, _ located: LocatedRow, on connection: Connection) throws -> Bool {
        let kind: StateSums.Kind
        switch located.residence {
        case .absent, .row: return true
        case .tombstone: kind = .deleted
        case .shadow: kind = .hidden
        }
        return try ValueRef.with(located.state.key) { key in
            try self.sums.isStored(located.state.withoutCounters(plan), kind, plan, key: key, on: connection)
        }
    }

    /// Whether a table has a row, whatever the node knows of it.
    func isInTable(_ plan: TablePlan, key: ValueRef, on connection: Connection) throws -> Bool {
        try connection.query(plan.sql.select).bind(1, key).first { _ in true } ?? false
    }

    /// Whether a row without metadata has no past: it was neither deleted nor is it hidden.
    func isPlainlyNew(_ plan: TablePlan, key: ValueRef, on connection: Connection) throws -> Bool {
        let number = plan.definition.number
        return try !self.tombstones.contains(number, key: key, on: connection)
            && !self.shadows.contains(number, key: key, on: connection)
    }

    /// Whether a table may have rows that are deleted or show another form than their own: only then is looking worth while.
    func mayBeUnsettled(in table: Int) -> Bool {
        self.tombstones.mayExist(in: table) || self.shadows.exist(in: table)
    }

    /// Whether a row is deleted or shows another form than its own.
    func isUnsettled(_ row: RowName, on connection: Connection) throws -> Bool {
        try ValueRef.with(row.key) { try self.isUnsettled(row.table, key: $0, on: connection) }
    }

    /// Whether a row is deleted or shows another form than its own, for a key in SQLite's memory.
    func isUnsettled(_ table: Int, key: ValueRef, on connection: Connection) throws -> Bool {
        try self.shadows.contains(table, key: key, on: connection)
            || self.tombstones.contains(table, key: key, on: connection)
    }

    // MARK: - Writing

    /// Inserts a row of which the node knows nothing: no state is built, values go from their buffer to the table.
    ///
    /// - Returns: Whether the row was inserted; otherwise nothing was done.
    func insertFresh(
        _ plan: TablePlan,
        key: ValueRef,
        values: [ValueRef],
        birth: LocalVersion,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        guard plan.counterSlots == 0, try self.isPlainlyNew(plan, key: key, on: transaction.connection) else {
            return false
        }
        self.hasher.hash(plan, key: key) { values[$0] }
        guard try self.table.insert(plan, key: key, birth: birth, hashes: self.hasher.hashes, in: transaction) else {
            return false
        }
        do {
            try TableRows().insert(plan, key: key, in: transaction) { $0.bind($1, values[$2]) }
        } catch let failure as SQLiteFailure where failure.isConstraint {
            // The long way will set it aside.
            try self.table.takeBack(plan, key: key, in: transaction)
            return false
        }
        self.table.countInserted(plan, hash: self.hasher.hashes.row)
        return true
    }

    /// Makes a table show these values of a row.
    ///
    /// - Parameters:
    ///   - plan: the row's table.
    ///   - state: the row's state, with the versions of the values.
    ///   - values: what the table is to show, by slot.
    ///   - key: the row's key.
    ///   - meta: what the table shows now; `nil` when it does not show the row.
    ///   - lifted: what was kept of the row if it was taken out of its table in this transaction.
    ///   - isFetched: whether the state has what another node knows of the whole row.
    ///   - transaction: the transaction.
    /// - Returns: What programs see change; `nil` for nothing.
    /// - Throws: what SQLite reports.
    func show(
        _ plan: TablePlan,
        _ state: RowState,
        values: [SQLiteValue],
        key: ValueRef,
        meta: RowMeta?,
        lifted: LiftedRow? = nil,
        isFetched: Bool = true,
        in transaction: borrowing WriteTransaction
    ) throws -> VisibleChange? {
        self.hasher.hash(plan, key: key, values)
        var hashes = self.hasher.hashes
        // One change does not say who wrote the other columns: they are still to be fetched from another node.
        if meta?.isUnknown == true, !isFetched { hashes.row = RowMeta.unknownHash }
        let slots = meta?.changedSlots(self.hasher.hashes, plan: plan) ?? plan.valueSlots
        if meta == nil || lifted != nil {
            try TableRows().insert(plan, key: key, with: lifted?.columns ?? [], in: transaction) {
                $0.bind($1, values[$2])
            }
        } else if slots != 0 {
            let isThere = try TableRows().update(plan, key: key, slots: slots, in: transaction) {
                $0.bind($1, values[$2])
            }
            // The row is not in its table: a program deleted it unnoticed. Let the collector find that.
            if !isThere { try self.marks.markUnmarked(plan, key: key, in: transaction) }
        }
        try self.table.write(
            plan,
            key: key,
            try self.versions(plan, of: state, in: transaction),
            hashes: hashes,
            replacing: meta?.hash,
            in: transaction
        )
        if meta == nil { return VisibleChange(operation: .insert, slots: plan.valueSlots) }
        return slots == 0 ? nil : VisibleChange(operation: .update, slots: slots)
    }

    /// Takes a row out of its table for a moment, so that another row can take its key.
    ///
    /// - Returns: What ``show(_:_:values:key:meta:lifted:isFetched:in:)`` needs to put the whole row back.
    func lift(_ plan: TablePlan, key: SQLiteValue, in transaction: borrowing WriteTransaction) throws -> LiftedRow {
        let lifted = LiftedRow(try self.unknownColumns(plan, key: key, on: transaction.connection))
        try transaction.statement(plan.sql.delete).bind(1, key).run()
        return lifted
    }

    /// The values of a row in the columns that the table has and this node does not know, without generated columns.
    private func unknownColumns(
        _ plan: TablePlan,
        key: SQLiteValue,
        on connection: Connection
    ) throws -> [LiftedRow.Column] {
        var names: [String] = []
        try connection.query("SELECT name FROM pragma_table_info(?1)").bind(1, text: plan.definition.name)
            .forEach { names.append($0.string(0)) }
        names.removeAll { plan.names.contains($0) }
        guard !names.isEmpty else { return [] }
        return try connection.query(plan.sql.select(columns: names)).bind(1, key).first { row in
            names.enumerated().map { LiftedRow.Column(name: $1, value: row.ref(Int32($0)).value) }
        } ?? []
    }

    /// Takes a row out of its table and keeps its tombstone.
    ///
    /// - Returns: What programs see change; `nil` for nothing.
    func hide(
        _ plan: TablePlan,
        _ state: RowState,
        key: ValueRef,
        meta: RowMeta?,
        in transaction: borrowing WriteTransaction
    ) throws -> VisibleChange? {
        if let meta {
            try TableRows().delete(plan, key: key, in: transaction)
            try self.table.remove(plan, key: key, hash: meta.hash, in: transaction)
        }
        try self.tombstones.bury(plan, state, key: key, in: transaction)
        return meta == nil ? nil : VisibleChange(operation: .delete, slots: 0)
    }

    /// Who wrote a row's values, as the metadata keep it.
    func versions(
        _ plan: TablePlan,
        of state: RowState,
        in transaction: borrowing WriteTransaction
    ) throws -> RowTable.Versions {
        let birth = try self.origins.local(state.birth, in: transaction)
        var meta = RowMeta(birth: birth, hash: .zero, columns: [], groups: [], context: nil)
        for slot in (plan.valueSlots & ~plan.counterSlots).setBits {
            // A column whose writer is unknown has the version that every other version beats, not that of the birth.
            let version = state.version(slot: slot) ?? .genesis
            guard version != state.birth else { continue }
            meta.assign(1 << UInt64(slot), to: try self.origins.local(version, in: transaction))
        }
        var context: Int?
        if let deletion = state.deletion { context = try self.contexts.number(of: deletion, in: transaction) }
        return RowTable.Versions(birth: birth, groups: meta.encodedGroups, context: context)
    }

    /// The number under which what the row's deleters had seen is kept; `nil` for a row that was never deleted.
    func context(of state: RowState, in transaction: borrowing WriteTransaction) throws -> Int? {
        guard let deletion = state.deletion else { return nil }
        return try self.contexts.number(of: deletion, in: transaction)
    }
}
