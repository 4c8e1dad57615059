import ClinicSyncModel

/// Collects the events of one transaction.
///
/// Up to ``rowsMax`` rows each get their own event. All further rows of a table and operation share an event. So an
/// import of 200 000 rows does not make 200 000 events, and each changed table has an event.
/// ``EventLog/record(_:in:)`` writes the events in the same transaction.
struct EventCollector {
    /// The largest number of rows of one transaction that get their own event.
    static let rowsMax = 500

    /// An event that ``EventLog`` will write.
    struct Entry {
        var content: LoggedEvent.Content
        /// The table of a change; `nil` for a named event.
        var plan: TablePlan?
        /// The columns of a change.
        var slots: UInt64
    }

    /// The events so far.
    private(set) var entries: [Entry] = []
    /// The number of further rows that get their own event.
    private(set) var rowsLeft: Int
    private let isLocal: Bool
    /// The places of the events that stand for many rows.
    private var shared: [Kind: Int] = [:]

    /// What the rows of such an event have in common.
    private struct Kind: Hashable {
        let table: Int
        let operation: Int
    }

    /// Collects changes that this node made, or that another node made.
    ///
    /// `rowsLeft` is smaller when earlier parts of the same batch have already used events for single rows.
    init(isLocal: Bool, rowsLeft: Int = EventCollector.rowsMax) {
        self.isLocal = isLocal
        self.rowsLeft = rowsLeft
    }

    /// Adds an event that is not a change of a row.
    mutating func add(named event: NamedEvent) {
        self.entries.append(Entry(content: .named(event), plan: nil, slots: 0))
    }

    /// Adds a visible change; `value` returns the values of the row's columns.
    mutating func add(
        _ change: VisibleChange,
        plan: TablePlan,
        key: @autoclosure () -> SQLiteValue,
        timestamp: HybridTimestamp,
        batch: BatchID?,
        value: (_ slot: Int) -> SQLiteValue?
    ) {
        let kind = Kind(table: plan.definition.number, operation: change.operation.number)
        if self.rowsLeft <= 0, let index = self.shared[kind] { return self.share(index, change.slots, plan: plan) }
        var event = ChangeEvent(
            category: plan.definition.category,
            table: plan.definition.name,
            operation: change.operation,
            recordID: nil,
            columns: [],
            rows: 1,
            timestamp: timestamp,
            isLocal: self.isLocal,
            batch: batch
        )
        if self.rowsLeft > 0 {
            self.rowsLeft -= 1
            event.recordID = key()
            event.userID = plan.userSlot.flatMap { $0 == plan.keySlot ? event.recordID : value($0)?.userKey }
        } else {
            self.shared[kind] = self.entries.count
        }
        event.columns = plan.columnNames(change.slots)
        self.entries.append(Entry(content: .change(event), plan: plan, slots: change.slots))
    }

    /// Adds a row to an event that stands for many rows.
    private mutating func share(_ index: Int, _ slots: UInt64, plan: TablePlan) {
        guard case .change(var event) = self.entries[index].content else { return }
        event.rows += 1
        if self.entries[index].slots | slots != self.entries[index].slots {
            self.entries[index].slots |= slots
            event.columns = plan.columnNames(self.entries[index].slots)
        }
        self.entries[index].content = .change(event)
    }
}

extension SQLiteValue {
    /// The value, if it has the form of a user's key.
    fileprivate var userKey: SQLiteValue? {
        switch self {
        case .text, .blob: self
        case .null, .integer, .real: nil
        }
    }
}
