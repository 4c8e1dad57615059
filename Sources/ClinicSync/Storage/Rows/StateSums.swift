import ClinicSyncCore
import ClinicSyncModel

/// Counts and sums of the states of rows that their tables do not show as they are: the table `clinicsync_sum`.
///
/// ``Shadows`` and ``Tombstones`` keep the sums with each change. A sum that cannot be kept this way, because the former state
/// cannot be read, is computed again: before the transaction commits, or, when it is of many states, outside of one by
/// ``refresh(on:)``. Until then it differs from other nodes' sums.
final class StateSums: TransactionPart {
    /// Which states are summed.
    enum Kind: Int, CaseIterable {
        /// Those in `clinicsync_shadow`.
        case hidden = 0
        /// Those in `clinicsync_tombstone`.
        case deleted = 1

        /// The table of the states.
        var table: OwnDamage.Table { self == .hidden ? .shadow : .tombstone }
    }

    /// What the file has of a state.
    enum Stored: Equatable {
        /// Nothing.
        case absent
        /// The state with this hash.
        case hashed(Digest)
        /// The state of a deleted row with this hash, which does not count: see ``ForgottenRows``.
        case forgotten(Digest)
        /// Bytes that are no state.
        case unreadable
    }

    /// What one sum is of.
    private struct Place: Hashable, Comparable {
        let table: Int
        let kind: Kind

        static func < (left: Place, right: Place) -> Bool {
            (left.table, left.kind.rawValue) < (right.table, right.kind.rawValue)
        }
    }

    /// What a transaction that is rolled back puts back.
    private struct State {
        var sums: [Place: StateSum] = [:]
        /// The sums that are not written yet.
        var changed: Set<Place> = []
        /// The sums that must be computed again.
        var stale: Set<Place> = []
        /// The deletions that do not count.
        var forgotten = ForgottenRows()
    }

    /// No more states than these, of all tables together, are summed again while programs cannot write.
    private static let computedAtOnceMax: UInt64 = 20_000

    private var plans: TablePlans
    private let table: RowTable
    private var state = State()
    private var hasher = StateHasher()

    /// Reads the sums; those that the file lacks are computed with the first commit.
    ///
    /// - Throws: what SQLite reports.
    init(plans: TablePlans, table: RowTable, on connection: Connection) throws {
        self.plans = plans
        self.table = table
        self.state.forgotten = try ForgottenRows.inUse(on: connection)
        try StateSums.read(on: connection) { place, sum in self.state.sums[place] = sum }
        self.markMissing()
    }

    func memory() -> () -> Void {
        let saved = self.state
        return { self.state = saved }
    }

    func willCommit(_ transaction: borrowing WriteTransaction) throws {
        if let plan = self.plans[ForgottenRows.table], self.table.hasChanged(plan) {
            try self.followHorizon(in: transaction)
        }
        guard !self.state.stale.isEmpty || !self.state.changed.isEmpty else { return }
        // Of a sum that is missing the states are counted only at the opening.
        var rest = StateSums.computedAtOnceMax
        try self.compute(on: transaction.connection) { place in
            let rows = self.state.sums[place]?.rows ?? 0
            guard rows <= rest else { return false }
            rest &-= rows
            return true
        }
        defer { self.state.changed.removeAll() }
        guard try transaction.connection.hasTable("clinicsync_sum") else { return }
        for place in self.state.changed.sorted() {
            try self.write(self.state.sums[place] ?? .zero, of: place, in: transaction)
        }
    }

    /// The deletions that do not count.
    var forgotten: ForgottenRows { self.state.forgotten }

    /// Leaves out of the sums what a host decided last.
    ///
    /// Call it in the transaction in which the horizon changes, so that nodes with equal batches leave out the same.
    func followHorizon(in transaction: borrowing WriteTransaction) throws {
        let decided = try ForgottenRows.decided(self.plans, on: transaction.connection)
        guard decided != self.state.forgotten else { return }
        self.state.forgotten = decided
        try decided.use(in: transaction)
        for plan in self.plans.all {
            self.state.stale.insert(Place(table: plan.definition.number, kind: .deleted))
        }
    }

    /// Whether sums have to be computed again.
    var isStale: Bool { !self.state.stale.isEmpty }

    /// Computes the sums that have to be; the next commit writes them.
    ///
    /// - Throws: what SQLite reports.
    func refresh(on connection: Connection) throws { try self.compute(on: connection) { _ in true } }

    private func compute(on connection: Connection, where isWanted: (Place) -> Bool) throws {
        for place in self.state.stale.sorted() where isWanted(place) {
            self.state.stale.remove(place)
            guard let plan = self.plans[place.table] else { continue }
            self.state.sums[place] = try self.sum(plan, place.kind, isStrict: false, on: connection)
            self.state.changed.insert(place)
        }
    }

    /// Works by these plans from now on.
    func use(_ plans: TablePlans) {
        self.plans = plans
        self.markMissing()
    }

    private func markMissing() {
        for plan in self.plans.all {
            for kind in Kind.allCases {
                let place = Place(table: plan.definition.number, kind: kind)
                if self.state.sums[place] == nil { self.state.stale.insert(place) }
            }
        }
    }

    private func write(_ sum: StateSum, of place: Place, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_sum (tableId, kind, rows, high, low) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT (tableId, kind) DO UPDATE SET rows = ?3, high = ?4, low = ?5
                """
            )
            .bind(1, place.table)
            .bind(2, place.kind.rawValue)
            .bind(3, Int64(clamping: sum.rows))
            .bind(4, sum.digest.high)
            .bind(5, sum.digest.low)
            .run()
    }

    // MARK: - Keeping

    /// A state that is about to be replaced or removed.
    func stored(_ kind: Kind, _ plan: TablePlan, key: ValueRef, on connection: Connection) throws -> Stored {
        try connection.query("\(kind.select) WHERE s.tableId = ?1 AND s.pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .first { row in
                let result = Result { try self.read(row, plan) }
                guard case .success(let read) = result else { return .unreadable }
                return self.counts(read.state, kind) ? .hashed(read.hash) : .forgotten(read.hash)
            } ?? .absent
    }

    /// Whether the file has exactly this state of a row.
    func isStored(
        _ state: RowState,
        _ kind: Kind,
        _ plan: TablePlan,
        key: ValueRef,
        on connection: Connection
    ) throws -> Bool {
        let hash = self.hasher.hash(plan, state)
        return switch try self.stored(kind, plan, key: key, on: connection) {
        case .hashed(let stored), .forgotten(let stored): stored == hash
        case .absent, .unreadable: false
        }
    }

    /// Whether a state counts in its sum.
    private func counts(_ state: RowState, _ kind: Kind) -> Bool {
        kind == .hidden || !self.state.forgotten.contain(state)
    }

    /// Counts `new` in place of `old`; `nil` when the state is removed.
    func replace(_ old: Stored, by new: RowState?, _ kind: Kind, _ plan: TablePlan) {
        let place = Place(table: plan.definition.number, kind: kind)
        var sum = self.state.sums[place] ?? .zero
        switch old {
        case .absent, .forgotten: break
        case .hashed(let hash):
            sum.digest -= hash
            // A program may have put any count into the file that was opened.
            sum.rows = max(sum.rows, 1) &- 1
        case .unreadable: self.state.stale.insert(place)
        }
        if let new, self.counts(new, kind) {
            sum.digest += self.hasher.hash(plan, new)
            sum.rows &+= 1
        }
        self.state.sums[place] = sum
        self.state.changed.insert(place)
    }

    /// Has all sums computed again.
    func markAllStale() {
        for plan in self.plans.all { self.markStale(plan) }
    }

    /// Has the sums of one table computed again.
    func markStale(_ plan: TablePlan) {
        for kind in Kind.allCases { self.state.stale.insert(Place(table: plan.definition.number, kind: kind)) }
    }

    // MARK: - Checking

    /// Whether the sums of a table are those of its states.
    ///
    /// - Throws: ``OwnDamage`` for a state that cannot be read.
    func areRight(_ plan: TablePlan, on connection: Connection) throws -> Bool {
        for kind in Kind.allCases {
            let place = Place(table: plan.definition.number, kind: kind)
            let sum = try self.sum(plan, kind, isStrict: true, on: connection)
            guard self.state.sums[place] == sum else { return false }
        }
        return true
    }

    /// Whether the table of sums says what this node knows.
    ///
    /// Only this node writes it. So another content is damage.
    func areAsWritten(on connection: Connection) throws -> Bool {
        // A file of an earlier version that waits for its migration has no such table.
        guard try connection.hasTable("clinicsync_sum") else { return true }
        var rest = self.state.sums
        try StateSums.read(on: connection) { place, sum in
            if rest[place] == sum { rest[place] = nil }
        }
        return rest.isEmpty
    }

    private func sum(_ plan: TablePlan, _ kind: Kind, isStrict: Bool, on connection: Connection) throws -> StateSum {
        var sum = StateSum.zero
        guard try connection.hasTable("clinicsync_\(kind.table.rawValue)") else { return sum }
        let number = plan.definition.number
        try connection.query("\(kind.select) WHERE s.tableId = ?1").bind(1, number).forEach { row in
            let result = Result { try self.read(row, plan) }
            switch result {
            case .success(let read):
                guard self.counts(read.state, kind) else { return }
                sum.rows += 1
                sum.digest += read.hash
            case .failure(let error):
                sum.rows += 1
                guard isStrict else { return }
                try OwnDamage.reading(kind.table, .row(table: number, key: row.ref(0).value)) { throw error }
            }
        }
        return sum
    }

    private func read(_ row: Statement, _ plan: TablePlan) throws -> Read {
        try StateSums.read(row, plan, with: &self.hasher)
    }
}

// MARK: - Reading

extension StateSums {
    /// A state of a row that its table does not show as it is.
    struct Read {
        /// The state.
        let state: RowState
        /// Its newest stamp.
        let stamp: UInt64
        /// Its hash.
        let hash: Digest
    }

    /// The state in a row of ``Kind/select``.
    ///
    /// - Throws: ``MalformedRecord`` when the bytes are no state; ``OwnDamage`` when its deletion is missing.
    static func read(_ row: Statement, _ plan: TablePlan, with hasher: inout StateHasher) throws -> Read {
        var state = try StoredState.decode(row.blob(1), key: row.ref(0), plan: plan)
        guard !row.isNull(2) else {
            guard row.isNull(3) else { throw OwnDamage(.context, "what a deleter had seen is missing") }
            let hash = hasher.hash(plan, state, deletion: nil)
            return Read(state: state, stamp: state.largestTimestamp.rawValue, hash: hash)
        }
        let hash = hasher.hash(plan, state, deletion: row.blob(2))
        let deletion = try OwnDamage.reading(.context) { try DeletionContexts.decoded(row.blob(2)) }
        let stamp = max(state.largestTimestamp, deletion.version.timestamp)
        state.deletion = deletion
        return Read(state: state, stamp: stamp.rawValue, hash: hash)
    }

    /// The sums of a table's states that the file has.
    static func sums(of table: Int, on connection: Connection) throws -> [Kind: StateSum] {
        guard try connection.hasTable("clinicsync_sum") else { return [:] }
        var sums: [Kind: StateSum] = [:]
        try connection.query("SELECT kind, rows, high, low FROM clinicsync_sum WHERE tableId = ?1").bind(1, table)
            .forEach { row in
                guard let kind = Kind(rawValue: row.int(0)) else { return }
                sums[kind] = StateSums.sum(row, (1, 2, 3))
            }
        return sums
    }

    private static func read(on connection: Connection, _ body: (Place, StateSum) -> Void) throws {
        guard try connection.hasTable("clinicsync_sum") else { return }
        try connection.query("SELECT tableId, kind, rows, high, low FROM clinicsync_sum").forEach { row in
            guard let kind = Kind(rawValue: row.int(1)) else { return }
            body(Place(table: row.int(0), kind: kind), StateSums.sum(row, (2, 3, 4)))
        }
    }

    private static func sum(_ row: Statement, _ columns: (rows: Int32, high: Int32, low: Int32)) -> StateSum {
        let rows = min(UInt64(clamping: row.int64(columns.rows)), Bounds.rowsMax)
        return StateSum(rows: rows, digest: Digest(high: row.unsigned(columns.high), low: row.unsigned(columns.low)))
    }
}

extension StateSums.Kind {
    /// Selects keys, states, what their deleters had seen, and the numbers of that.
    var select: String {
        """
        SELECT s.pk, s.state, c.vector, s.context FROM clinicsync_\(self.table.rawValue) AS s
        LEFT JOIN clinicsync_context AS c ON c.id = s.context
        """
    }
}
