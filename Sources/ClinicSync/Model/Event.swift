/// The group of tables a change belongs to, by which programs subscribe.
package enum EventCategory: String, Sendable, Hashable, CaseIterable {
    /// Bills, their items, payments.
    case billing
    /// Patients, their history and records.
    case patient
    /// Users, their sessions and activity.
    case user
    /// All other tables.
    case data
    /// What the node itself has to say.
    case system
}

/// What happened to a row.
package enum RowOperation: String, Sendable, Hashable, CaseIterable {
    /// The row became visible.
    case insert
    /// Columns of the row changed.
    case update
    /// The row went.
    case delete
}

/// A committed change of a row, as programs are told of it.
package struct ChangeEvent: Sendable, Hashable {
    /// The table's category.
    package var category: EventCategory
    /// The table.
    package var table: String
    /// What happened.
    package var operation: RowOperation
    /// The row's key as text; `nil` when this one event stands for `rows` rows of a bulk change.
    package var recordID: String?
    /// The columns that changed.
    package var columns: [String]
    /// How many rows this event stands for: 1, or more for a bulk change.
    package var rows: Int
    /// When the change was made.
    package var timestamp: HybridTimestamp
    /// Whether this node made it.
    package var isLocal: Bool
    /// The batch that carried it; `nil` for a repair.
    package var batch: BatchID?
    /// The user the row belongs to, in tables that have such a column; `nil` otherwise and for bulk changes.
    package var userID: String?

    /// Makes an event.
    package init(
        category: EventCategory,
        table: String,
        operation: RowOperation,
        recordID: String?,
        columns: [String],
        rows: Int,
        timestamp: HybridTimestamp,
        isLocal: Bool,
        batch: BatchID?,
        userID: String? = nil
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

    /// The event's type: the category's own, as CONTRACT names them.
    package var type: String {
        switch self.category {
        case .billing: "billing_change_immediate"
        case .patient: "patient_data_change_immediate"
        case .user: "user_data_change_immediate"
        case .data, .system: "data_change_immediate"
        }
    }
}
