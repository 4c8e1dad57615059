import NIOConcurrencyHelpers

/// Counts the changed rows of each table for the log.
package final class TableCounts: Sendable {
    /// The changes of one table.
    package struct Counts: Sendable, Hashable {
        /// Rows that programs of this PC changed.
        package var local = 0
        /// Rows that changes of other PCs changed.
        package var remote = 0
    }

    private let counts = NIOLockedValueBox<[String: Counts]>([:])

    /// Starts with nothing.
    package init() {}

    /// Counts rows of a table; from any thread.
    package func add(_ rows: Int, of table: String, isLocal: Bool) {
        self.counts.withLockedValue { counts in
            if isLocal {
                counts[table, default: Counts()].local &+= rows
            } else {
                counts[table, default: Counts()].remote &+= rows
            }
        }
    }

    /// Returns what was counted since the last call, by the tables' names.
    package func take() -> [(table: String, counts: Counts)] {
        let taken = self.counts.withLockedValue { counts in
            defer { counts = [:] }
            return counts
        }
        return taken.sorted { $0.key < $1.key }.map { (table: $0.key, counts: $0.value) }
    }
}
