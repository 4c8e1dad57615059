import ClinicSyncModel

/// Collects what programs are to be told of one transaction.
///
/// Up to ``rowsMax`` rows each get an event of their own; beyond that the rows of a table and operation share one, so that
/// an import of 200 000 rows does not become 200 000 events and no table is forgotten.
struct EventCollector {
    /// Rows of one transaction that get an event of their own.
    static let rowsMax = 500

    /// The events so far.
    private(set) var events: [ChangeEvent] = []
    private let isLocal: Bool
    private var shared: [String: Int] = [:]

    /// Collects changes that this node made, or that another did.
    init(isLocal: Bool) { self.isLocal = isLocal }

    /// Adds a visible change.
    mutating func add(
        _ change: ReplicaWriter.VisibleChange,
        plan: TablePlan,
        key: @autoclosure () -> SQLiteValue,
        timestamp: HybridTimestamp,
        batch: BatchID?
    ) {
        guard self.events.count >= EventCollector.rowsMax else {
            self.events.append(
                self.event(change, plan: plan, key: key().displayText, timestamp: timestamp, batch: batch)
            )
            return
        }
        let name = "\(plan.definition.number) \(change.operation.rawValue)"
        if let index = self.shared[name] {
            self.events[index].rows += 1
        } else {
            self.shared[name] = self.events.count
            self.events.append(self.event(change, plan: plan, key: nil, timestamp: timestamp, batch: batch))
        }
    }

    private func event(
        _ change: ReplicaWriter.VisibleChange,
        plan: TablePlan,
        key: String?,
        timestamp: HybridTimestamp,
        batch: BatchID?
    ) -> ChangeEvent {
        ChangeEvent(
            category: plan.definition.category,
            table: plan.definition.name,
            operation: change.operation,
            recordID: key,
            columns: plan.columnNames(change.slots),
            rows: 1,
            timestamp: timestamp,
            isLocal: self.isLocal,
            batch: batch
        )
    }
}
