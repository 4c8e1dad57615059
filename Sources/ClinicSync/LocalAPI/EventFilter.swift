package import ClinicSyncModel

/// The events that a subscriber asked for.
package struct EventFilter: Sendable, Hashable {
    /// These categories; empty: all.
    package var categories: Set<EventCategory>
    /// These tables; empty: all.
    package var tables: Set<String>
    /// These users, by their ids; empty: all.
    package var users: Set<String>
    /// Events after this position first; `nil`: only events from now on.
    package var since: UInt64?

    /// Makes a filter.
    package init(
        categories: Set<EventCategory> = [],
        tables: Set<String> = [],
        users: Set<String> = [],
        since: UInt64? = nil
    ) {
        self.categories = categories
        self.tables = tables
        self.users = users
        self.since = since
    }

    /// Whether `event` is wanted: of one of the categories, of one of the tables if it is a change, and about one of the users.
    ///
    /// `resync_required` is always wanted, because it says that the rest is incomplete.
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
            // With tables alone, a subscriber has not asked for the node's own news.
            return EventCategory(rawValue: event.category).map(self.categories.contains) ?? false
        }
        return self.tables.contains(table)
    }

    private func isAboutUser(_ event: NodeEvent) -> Bool {
        if let user = event.userId { return self.users.contains(user) }
        // One event for many rows of a table of users may be about any of them.
        return event.category == EventCategory.user.rawValue && event.table != nil && event.recordId == nil
    }
}
