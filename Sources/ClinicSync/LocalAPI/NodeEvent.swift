package import ClinicSyncModel

/// An event as programs get it; the names of the properties are the JSON keys.
public struct NodeEvent: Sendable, Hashable, Codable {
    /// Grows with every event of this node; where to resume after.
    public var position: UInt64
    /// What kind of event, for instance `billing_change_immediate`.
    public var type: String
    /// The category by which programs subscribe.
    public var category: String
    /// The table, for changes.
    public var table: String?
    /// `insert`, `update` or `delete`, for changes.
    public var operation: String?
    /// The row's key; not there when the event stands for several rows.
    public var recordId: String?
    /// The columns that changed, for changes.
    public var columns: [String]?
    /// How many rows the event stands for, when not one.
    public var rows: Int?
    /// When it happened.
    public var timestamp: UTCTimestamp
    /// `local` or `remote`, for changes.
    public var source: String?
    /// The node that wrote the change.
    public var origin: String?
    /// The transaction that carried the change, `origin:number`; not there for repairs.
    public var transaction: String?
    /// More about a system event.
    public var details: [String: String]?

    /// The event of a change.
    package init(_ change: ChangeEvent, position: UInt64) {
        self.position = position
        self.type = change.type
        self.category = change.category.rawValue
        self.table = change.table
        self.operation = change.operation.rawValue
        self.recordId = change.recordID
        self.columns = change.columns
        self.rows = change.rows == 1 ? nil : change.rows
        self.timestamp = UTCTimestamp(milliseconds: change.timestamp.milliseconds)
        self.source = change.isLocal ? "local" : "remote"
        self.origin = change.batch?.origin.description
        self.transaction = change.batch.map { "\($0.origin):\($0.sequence)" }
        self.details = nil
    }

    /// A system event.
    package init(system name: String, details: [String: String], at timestamp: UTCTimestamp, position: UInt64) {
        self.position = position
        self.type = name
        self.category = EventCategory.system.rawValue
        self.timestamp = timestamp
        self.details = details.isEmpty ? nil : details
    }

    /// The name of the system event that says that events were missed for good.
    public static let resyncRequired = "resync_required"
}

/// Which events a subscriber wants.
package struct EventFilter: Sendable, Hashable {
    /// These categories; empty: all.
    package var categories: Set<EventCategory>
    /// These tables; empty: all.
    package var tables: Set<String>
    /// Events after this position first; `nil`: only events from now on.
    package var since: UInt64?

    /// Makes a filter.
    package init(categories: Set<EventCategory> = [], tables: Set<String> = [], since: UInt64? = nil) {
        self.categories = categories
        self.tables = tables
        self.since = since
    }

    /// Whether `event` is wanted: of one of the categories and, if it is a change, of one of the tables.
    ///
    /// `resync_required` is always wanted, because it says that the rest is incomplete.
    package func matches(_ event: NodeEvent) -> Bool {
        if event.type == NodeEvent.resyncRequired { return true }
        if !self.categories.isEmpty {
            guard let category = EventCategory(rawValue: event.category), self.categories.contains(category) else {
                return false
            }
        }
        guard !self.tables.isEmpty else { return true }
        guard let table = event.table else {
            // With tables alone, a subscriber has not asked for the node's own news.
            return self.categories.contains(.system) && event.category == EventCategory.system.rawValue
        }
        return self.tables.contains(table)
    }
}
