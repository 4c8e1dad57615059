/// The group of tables to which a change belongs; programs subscribe by category.
package enum EventCategory: String, Sendable, Hashable, CaseIterable {
    /// Bills, their items, and what was paid.
    case billing
    /// Patients, their history and records.
    case patient
    /// Users, their sessions and activity.
    case user
    /// All other tables.
    case data
    /// Events about the node itself.
    case system
}

/// What happened to a row.
package enum RowOperation: String, Sendable, Hashable, CaseIterable {
    /// The row became visible.
    case insert
    /// Columns of the row changed.
    case update
    /// The row was deleted or hidden.
    case delete
}

/// A committed change of a row, as programs get it.
package struct ChangeEvent: Sendable, Hashable {
    /// The table's category.
    package var category: EventCategory
    /// The table.
    package var table: String
    /// What happened.
    package var operation: RowOperation
    /// The row's key; `nil` when the event stands for `rows` rows of a bulk change.
    package var recordID: SQLiteValue?
    /// The columns that changed.
    package var columns: [String]
    /// The number of rows that the event stands for: 1, or more for a bulk change.
    package var rows: Int
    /// When the change was made.
    package var timestamp: HybridTimestamp
    /// Whether this node made the change.
    package var isLocal: Bool
    /// The batch that carried the change; `nil` for a repair.
    package var batch: BatchID?
    /// The user to whom the row belongs, in tables with such a column; otherwise, and for bulk changes, `nil`.
    package var userID: SQLiteValue?

    /// Makes an event.
    package init(
        category: EventCategory,
        table: String,
        operation: RowOperation,
        recordID: SQLiteValue?,
        columns: [String],
        rows: Int,
        timestamp: HybridTimestamp,
        isLocal: Bool,
        batch: BatchID?,
        userID: SQLiteValue? = nil
    ) {
        self.category = category
        self.table = table
        self.operation = operation
        self.recordID = recordID
        self.columns = columns
        self.rows = rows
        self.timestamp = timestamp
        self.isLocal = isLocal
        self.batch = batch
        self.userID = userID
    }

    /// The event's type, which depends on the category (`docs/EVENTS.md`).
    package var type: String {
        switch self.category {
        case .billing: "billing_change_immediate"
        case .patient: "patient_data_change_immediate"
        case .user: "user_data_change_immediate"
        case .data, .system: "data_change_immediate"
        }
    }
}
