package import ClinicSyncModel

/// What the store has of a state that this node is being given.
package struct StagedState: Sendable, Hashable {
    /// What the sender had applied when the transfer began.
    package var vector: VersionVector
    /// The place behind the last page that is stored.
    package var cursor: StateCursor
    /// How many rows are stored.
    package var rows: UInt64
    /// How many payload bytes are stored.
    package var bytes: UInt64
    /// What no page is newer than; `nil` until all pages are stored.
    package var through: VersionVector?
    /// The deletions whose tombstones the senders of the pages may have forgotten.
    package var forgotten: VersionVector

    /// Describes a part of a state.
    package init(
        vector: VersionVector,
        cursor: StateCursor,
        rows: UInt64 = 0,
        bytes: UInt64 = 0,
        through: VersionVector? = nil,
        forgotten: VersionVector = VersionVector()
    ) {
        self.vector = vector
        self.cursor = cursor
        self.rows = rows
        self.bytes = bytes
        self.through = through
        self.forgotten = forgotten
    }

    /// Counts a page that is stored behind the others.
    package mutating func append(_ page: StatePage) {
        self.cursor = page.cursor
        self.rows = Bounds.rows(self.rows, and: page.rows)
        self.bytes = Bounds.rows(self.bytes, and: page.payload.count)
        self.through = nil
        self.forgotten.merge(page.forgotten)
    }
}

/// The store's answer to a ``StateRequest``.
package struct StateAnswer: Sendable, Hashable {
    /// Pages, in their order.
    package var pages: [StatePage]
    /// The end, when no page follows.
    package var end: StateEnd?

    /// Makes an answer.
    package init(pages: [StatePage], end: StateEnd? = nil) {
        self.pages = pages
        self.end = end
    }
}
