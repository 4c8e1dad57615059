package import ClinicSyncModel

/// The events that a subscriber requests.
package struct EventFilter: Sendable, Hashable {
    /// Only these categories; an empty set means all categories.
    package var categories: Set<EventCategory>
    /// Only these tables; an empty set means all tables.
    package var tables: Set<String>
    /// Only users with these ids, as events show the ids; an empty set means all users.
    package var users: Set<SQLiteValue>
    /// Whether events that belong to no table do not pass: the sender may see changes of ``tables`` only.
    var isOfTablesOnly = false
    /// Start with the events after this position; `nil` means only new events.
    package var since: UInt64?

    /// Makes a filter.
    package init(
        categories: Set<EventCategory> = [],
        tables: Set<String> = [],
        users: Set<SQLiteValue> = [],
        since: UInt64? = nil
    ) {
        self.categories = categories
        self.tables = tables
        self.users = users
        self.since = since
    }

    /// Returns whether the filter accepts `event`.
    ///
    /// The event must have a requested category and concern a requested user. A change must also concern a requested
    /// table. The filter always accepts `resync_required`, because this event says that the rest is incomplete.
    package func matches(_ event: NodeEvent) -> Bool {
        if event.type == NodeEvent.resyncRequired { return true }
        if !self.categories.isEmpty {
            guard let category = EventCategory(rawValue: event.category), self.categories.contains(category) else {
                return false
            }
        }
        guard self.users.isEmpty || self.isAboutUser(event) else { return false }
        guard !self.tables.isEmpty else { return true }
        guard let table = event.table else {
            guard !self.isOfTablesOnly else { return false }
            // A subscriber that names only tables has not asked for the node's own events.
            return EventCategory(rawValue: event.category).map(self.categories.contains) ?? false
        }
        return self.tables.contains(table)
    }

    private func isAboutUser(_ event: NodeEvent) -> Bool {
        if let user = event.userId { return self.users.contains(.string(user)) }
        // One event that represents many rows of a table of users may concern any of these users.
        return event.category == EventCategory.user.rawValue && event.table != nil && event.recordId == nil
    }
}
