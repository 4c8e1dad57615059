import ClinicSyncCore
import ClinicSyncModel

/// A row as the store knows it.
struct Subject {
    let plan: TablePlan
    let state: RowState
    let residence: RowResidence
    /// Whether its own state shows it.
    let isAlive: Bool

    /// Whether a node deleted it, and an edit that the deleter had not seen keeps it alive.
    ///
    /// A row that was inserted after its deletion, or beside it, was not deleted.
    var isKept: Bool { self.isAlive && self.state.deletion.map { $0.seen.covers(self.state.birth) } ?? false }

    /// Whether a node deleted it, and no edit survived.
    var isDead: Bool { !self.isAlive && self.state.deletion != nil }
}

/// Computes what tables show of rows whose form depends on other rows' states.
///
/// The form of every row is a function of the merged states of all rows, so that nodes that hold the same states show the
/// same, whatever the order of changes: `docs/design/0009-projection.md` has the function. This type evaluates it row by
/// row, remembers results, and writes nothing. It lives for one run of the projection.
final class RowFacts {
    let rows: RowStates
    let claims: Claims
    private let connection: Connection

    private var subjects: [RowName: Subject?] = [:]
    // Results, valid as long as states and claims stay what they are.
    private var presences: [RowName: Bool] = [:]
    private var groups: [ClaimName: [RowName]] = [:]
    private var displays: [RowName: Display] = [:]
    private var claimants: [ClaimName: [RowName]] = [:]
    private var suffixes: [ClaimName: SuffixedKeys] = [:]

    /// Knows nothing yet; reads with `connection`.
    init(rows: RowStates, claims: Claims, on connection: Connection) {
        self.rows = rows
        self.claims = claims
        self.connection = connection
    }

    /// The plan of a row's table.
    func plan(_ row: RowName) -> TablePlan? { self.rows.plans[row.table] }

    /// The row as the store knows it; `nil` when nothing is known of it.
    func subject(_ row: RowName) throws -> Subject? {
        if let known = self.subjects[row] { return known }
        guard let plan = self.plan(row) else { return nil }
        let located = try self.rows.locate(plan, key: row.key, on: self.connection)
        var subject: Subject?
        if !located.isAbsent {
            subject = Subject(
                plan: plan,
                state: located.state,
                residence: located.residence,
                isAlive: located.state.isVisible(plan.definition.deletePolicy)
            )
        }
        self.subjects[row] = subject
        return subject
    }

    /// Forgets a row whose residence or claims changed, and all results.
    func forget(_ row: RowName) {
        self.subjects[row] = nil
        self.forgetResults()
    }

    /// Forgets all results.
    func forgetResults() {
        self.presences.removeAll()
        self.groups.removeAll()
        self.displays.removeAll()
        self.claimants.removeAll()
        self.suffixes.removeAll()
    }

    // MARK: - Life

    /// Whether a row counts for others: for keys, as one of several that are one, as what children refer to.
    func isPresent(_ row: RowName) throws -> Bool {
        if let known = self.presences[row] { return known }
        var isPresent = false
        if let subject = try self.subject(row), try subject.isAlive || self.isRevived(row) {
            isPresent = try !self.isCascaded(row) && !self.isWaiting(subject)
        }
        self.presences[row] = isPresent
        return isPresent
    }

    /// Whether a deleted row is shown because a child needs it that the deleter did not know.
    func isRevived(_ row: RowName) throws -> Bool {
        var path: Set<RowName> = []
        return try self.isRevived(row, path: &path)
    }

    private func isRevived(_ row: RowName, path: inout Set<RowName>) throws -> Bool {
        guard let subject = try self.subject(row), subject.isDead, path.insert(row).inserted else { return false }
        for child in self.rows.plans.children(of: row.table) where child.reference.policy == .revive {
            for referrer in try self.referrers(to: row, child) {
                guard let found = try self.subject(referrer) else { continue }
                if found.isAlive
                    ? self.isNews(found, child.reference, to: subject) : try self.isRevived(referrer, path: &path)
                {
                    return true
                }
            }
        }
        return false
    }

    /// The children for whose sake a deleted row is shown, the first by table and key in front.
    func evidence(for row: RowName) throws -> [RowName] {
        guard let subject = try self.subject(row) else { return [] }
        var found: [RowName] = []
        for child in self.rows.plans.children(of: row.table) where child.reference.policy == .revive {
            for referrer in try self.referrers(to: row, child) where referrer != row {
                guard let other = try self.subject(referrer) else { continue }
                if try other.isAlive ? self.isNews(other, child.reference, to: subject) : self.isRevived(referrer) {
                    found.append(referrer)
                }
            }
        }
        return found.sorted { self.precedes($0, $1) }
    }

    private func precedes(_ left: RowName, _ right: RowName) -> Bool {
        // Numbers of tables are this file's own; their names are the clinic's.
        let names = (self.plan(left)?.definition.name ?? "", self.plan(right)?.definition.name ?? "")
        return names.0 == names.1 ? RowFacts.isOrdered(left.key, right.key) : names.0 < names.1
    }

    /// The rows that refer to a row by their own state, hidden ones among them.
    func referrers(to row: RowName, _ child: TablePlans.Child) throws -> [RowName] {
        let number = child.plan.definition.number
        var rows: [RowName] = []
        try self.connection.query(child.reference.childrenSQL).bind(1, row.key).forEach {
            rows.append(RowName(table: number, key: $0.ref(0).value))
        }
        let claim = ClaimName(table: number, rule: child.reference.number, value: row.key)
        let indexed = try self.rows.shadows.rows(claiming: claim, on: self.connection).filter { !rows.contains($0) }
        return try (rows + indexed).filter {
            try self.subject($0)?.state.value(slot: child.reference.slot) == row.key
        }
    }

    /// Whether a child refers to a deleted row without its deleter having known that.
    func isNews(_ child: Subject, _ reference: ReferenceRule, to parent: Subject) -> Bool {
        guard let deletion = parent.state.deletion, let register = child.state.registers[reference.slot] else {
            return false
        }
        if !deletion.seen.covers(register.version) { return true }
        // It was deleted too, and something the deleter had not seen kept it.
        guard child.state.deletion != nil else { return false }
        return !deletion.seen.covers(child.state.birth) || child.state.hasEdits(beyond: deletion.seen)
    }

    /// Whether a row goes with a deleted one, directly or through others that do.
    func isCascaded(_ row: RowName) throws -> Bool {
        var path: Set<RowName> = []
        return try self.isCascaded(row, path: &path)
    }

    private func isCascaded(_ row: RowName, path: inout Set<RowName>) throws -> Bool {
        guard let subject = try self.subject(row), path.insert(row).inserted else { return false }
        for reference in subject.plan.references where reference.policy == .cascade || reference.policy == .revive {
            guard let parent = self.parent(of: subject, reference), let other = try self.subject(parent) else {
                continue
            }
            if reference.policy == .cascade, other.isDead, try !self.isRevived(parent),
                self.isNews(subject, reference, to: other)
            {
                return true
            }
            // A row that goes takes along what cannot be without it.
            if try self.isCascaded(parent, path: &path) { return true }
        }
        return false
    }

    /// The row that a reference names; `nil` when it names none.
    func parent(of subject: Subject, _ reference: ReferenceRule) -> RowName? {
        guard let value = subject.state.value(slot: reference.slot), value != .null else { return nil }
        return RowName(table: reference.parentTable, key: value)
    }

    /// Whether a row refers to one that its author had and this node has not: a repair brings it next.
    private func isWaiting(_ subject: Subject) throws -> Bool {
        for reference in subject.plan.references where reference.policy != .keep {
            guard let parent = self.parent(of: subject, reference),
                let register = subject.state.registers[reference.slot],
                register.version.origin != self.rows.origins.own, try self.subject(parent) == nil
            else { continue }
            if !self.rows.origins.hasApplied(register.version) { return true }
        }
        return false
    }

    // MARK: - Rows that are one

    /// The rows that are one with this row, the one that is shown in front; empty where no rule joins rows.
    func group(of row: RowName) throws -> [RowName] {
        guard let subject = try self.subject(row), let rule = subject.plan.mergeRule, try self.isPresent(row),
            let claim = try self.ownClaim(subject, rule)
        else { return [] }
        if let known = self.groups[claim] { return known }
        var members: [(RowName, Version)] = []
        for candidate in try self.candidates(for: claim, rule, subject.plan) {
            guard try self.isPresent(candidate), let other = try self.subject(candidate),
                try self.ownClaim(other, rule) == claim
            else { continue }
            members.append((candidate, self.age(rule, other.state.registers, birth: other.state.birth)))
        }
        let sorted = members.sorted { self.isOlder($0, $1) }.map(\.0)
        self.groups[claim] = sorted
        return sorted
    }

    /// The row under whose id a row is shown; `nil` when that is its own.
    func mergedInto(_ row: RowName) throws -> RowName? {
        guard let first = try self.group(of: row).first, first != row else { return nil }
        return first
    }

    private func ownClaim(_ subject: Subject, _ rule: UniqueRule) throws -> ClaimName? {
        try self.claims.key(
            subject.plan,
            rule,
            values: subject.plan.values(of: subject.state),
            on: self.connection
        )
    }

    /// The rows that may have a claim: the one that shows it, and those in the shadows.
    private func candidates(for claim: ClaimName, _ rule: UniqueRule, _ plan: TablePlan) throws -> [RowName] {
        var rows = try self.rows.shadows.rows(claiming: claim, on: self.connection)
        if let holder = try self.claims.holder(plan, rule, of: claim.value, on: self.connection), !rows.contains(holder)
        {
            rows.append(holder)
        }
        return rows
    }

    /// The rows that the index names as rows that would show a key if it were free.
    func rowsWanting(_ key: ClaimName) throws -> [RowName] {
        try self.rows.shadows.rows(claiming: key.wanted, on: self.connection)
    }

    private func age(_ rule: UniqueRule, _ registers: [RowState.Register?], birth: Version) -> Version {
        rule.slots.compactMap { $0 < registers.count ? registers[$0]?.version : nil }.max() ?? birth
    }

    private func isOlder(_ left: (RowName, Version), _ right: (RowName, Version)) -> Bool {
        if left.1 != right.1 { return left.1 < right.1 || !(right.1 < left.1) && left.1.sequence < right.1.sequence }
        return RowFacts.isOrdered(left.0.key, right.0.key)
    }

    static func isOrdered(_ left: SQLiteValue, _ right: SQLiteValue) -> Bool {
        switch (left, right) {
        case (.text(let left), .text(let right)), (.blob(let left), .blob(let right)):
            left.lexicographicallyPrecedes(right)
        case (.text, .blob): true
        default: false
        }
    }

    // MARK: - Values

    /// What a row would show if no key were taken.
    struct Display {
        /// The columns by slot, with the versions of what they show.
        var registers: [RowState.Register?]
        /// The same values, with what counters show.
        var values: [SQLiteValue]
        /// The columns in which a reference shows NULL because the row it names was deleted.
        var detached: UInt64 = 0
    }

    /// What a row would show if no key were taken: rows that are one joined, references followed.
    func display(_ row: RowName) throws -> Display? {
        if let known = self.displays[row] { return known }
        guard let subject = try self.subject(row) else { return nil }
        var members: [Subject] = [subject]
        let group = try self.group(of: row)
        if group.first == row { members = try group.compactMap { try self.subject($0) } }
        var display = Display(
            registers: subject.state.registers,
            values: subject.plan.values(of: subject.state)
        )
        if members.count > 1 { self.join(members, into: &display) }
        for reference in subject.plan.references { try self.follow(reference, of: subject, in: &display) }
        self.displays[row] = display
        return display
    }

    /// Gives each column the newest value that is not NULL, and counters what the rows have together.
    private func join(_ members: [Subject], into display: inout Display) {
        let plan = members[0].plan
        for slot in plan.valueSlots.setBits {
            if plan.counterSlots & (1 << UInt64(slot)) != 0 {
                display.values[slot] = CounterGroup(members.map(\.state), slot: slot).value
                continue
            }
            let registers = members.compactMap { $0.state.registers[slot] }
            let newest = registers.filter { $0.value != .null }.max { $0.version < $1.version }
            guard let register = newest ?? registers.max(by: { $0.version < $1.version }) else { continue }
            display.registers[slot] = register
            display.values[slot] = register.value
        }
    }

    private func follow(_ reference: ReferenceRule, of subject: Subject, in display: inout Display) throws {
        let slot = reference.slot
        guard display.values[slot] != .null,
            self.rows.mayBeUnsettled(in: reference.parentTable)
        else { return }
        let parent = RowName(table: reference.parentTable, key: display.values[slot])
        if let owner = try self.mergedInto(parent) {
            display.values[slot] = owner.key
        } else if reference.policy == .null, let other = try self.subject(parent), try !self.isPresent(parent),
            try other.isDead ? self.isNews(subject, reference, to: other) : self.isCascaded(parent)
        {
            display.values[slot] = .null
            display.detached |= 1 << UInt64(slot)
        }
    }

    // MARK: - Keys

    /// The key that a row claims, as others see it; `nil` when it claims none.
    func claim(_ row: RowName, _ rule: UniqueRule) throws -> ClaimName? {
        guard let subject = try self.subject(row) else { return nil }
        if rule.policy == .merge { return try self.ownClaim(subject, rule) }
        guard let display = try self.display(row) else { return nil }
        return try self.claims.key(subject.plan, rule, values: display.values, on: self.connection)
    }

    /// The rows that claim a key, the oldest claim in front.
    func claimants(_ claim: ClaimName, _ rule: UniqueRule, _ plan: TablePlan) throws -> [RowName] {
        if let known = self.claimants[claim] { return known }
        var found: [(RowName, Version)] = []
        for candidate in try self.candidates(for: claim, rule, plan) {
            guard try self.isPresent(candidate), try self.mergedInto(candidate) == nil,
                try self.claim(candidate, rule) == claim, let display = try self.display(candidate),
                let subject = try self.subject(candidate)
            else { continue }
            found.append((candidate, self.age(rule, display.registers, birth: subject.state.birth)))
        }
        let sorted = found.sorted { self.isOlder($0, $1) }.map(\.0)
        self.claimants[claim] = sorted
        return sorted
    }

    /// How the later claims of one key are shown.
    struct SuffixedKeys {
        /// What each row shows in the key's last column.
        var values: [RowName: SQLiteValue] = [:]
        /// The keys it would have shown, had they been free.
        var wanted: [RowName: Set<ClaimName>] = [:]
    }

    /// Gives every later claim of a key a suffix that no row claims.
    func suffixedKeys(_ claim: ClaimName, _ rule: UniqueRule, _ plan: TablePlan) throws -> SuffixedKeys {
        if let known = self.suffixes[claim] { return known }
        var keys = SuffixedKeys()
        var taken: Set<ClaimName> = []
        for row in try self.claimants(claim, rule, plan).dropFirst() {
            guard let display = try self.display(row) else { continue }
            var values = display.values
            for length in UniqueRule.suffixLengthMin...UniqueRule.suffixLengthMax {
                let own = display.values[rule.lastSlot]
                values[rule.lastSlot] = UniqueRule.suffixed(own, key: row.key, length: length)
                keys.values[row] = values[rule.lastSlot]
                guard let shown = try self.claims.key(plan, rule, values: values, on: self.connection) else { break }
                let isFree = try self.claimants(shown, rule, plan).isEmpty
                if isFree, taken.insert(shown).inserted { break }
                keys.wanted[row, default: []].insert(shown.wanted)
            }
        }
        self.suffixes[claim] = keys
        return keys
    }
}
