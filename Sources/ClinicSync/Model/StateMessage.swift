/// A message of a state transfer: a node gets the states of all rows in place of the history that made them.
///
/// `docs/design/0024-state-transfer.md` describes the exchange.
package enum StateMessage: Sendable, Hashable {
    /// The sender's log no longer has what the receiver lacks, or would cost more bytes than the state: ask for the state.
    case offer(StateOffer)
    /// Send the next pages of the state.
    case request(StateRequest)
    /// One page of the state.
    case page(StatePage)
    /// All pages were sent.
    case end(StateEnd)
}

/// How large the state is that a node can give.
package struct StateOffer: Sendable, Hashable {
    /// How many rows the tables show.
    package var rows: UInt64
    /// An estimate of the bytes of all pages.
    package var bytes: UInt64

    /// Makes an offer.
    package init(rows: UInt64, bytes: UInt64) {
        self.rows = rows
        self.bytes = bytes
    }
}

/// A place in a state: the state is ordered by table, then by key.
package struct StateCursor: Sendable, Hashable {
    /// The table; empty for the authors, which come first.
    package var table: String
    /// The last key that was taken; `nil`: the whole table was.
    package var key: SQLiteValue?

    /// Makes a place.
    package init(table: String, key: SQLiteValue? = nil) {
        self.table = table
        self.key = key
    }

    /// Whether this place comes after `other`.
    ///
    /// All places of a table come before its end.
    package func isBehind(_ other: StateCursor) -> Bool {
        guard self.table.utf8.elementsEqual(other.table.utf8) else {
            return other.table.utf8.lexicographicallyPrecedes(self.table.utf8)
        }
        guard let theirs = other.key else { return false }
        return self.key.map { theirs.sortsBefore($0) } ?? true
    }
}

/// A wish for pages of a state.
package struct StateRequest: Sendable, Hashable {
    /// The number that the pages and the end repeat.
    package var id: UInt64
    /// The vector of the state that the receiver has a part of; empty when it has nothing.
    package var vector: VersionVector
    /// Where the receiver goes on; `nil` when it has nothing.
    package var after: StateCursor?
    /// How many payload bytes the answer may have; one page may exceed the rest.
    package var creditBytes: UInt32

    /// Makes a wish.
    package init(id: UInt64, vector: VersionVector, after: StateCursor?, creditBytes: UInt32) {
        self.id = id
        self.vector = vector
        self.after = after
        self.creditBytes = creditBytes
    }
}

/// States of rows of one table whose keys follow one another.
package struct StatePage: Sendable, Hashable {
    /// The number of the request.
    package var id: UInt64
    /// What the sender had applied when the transfer began: every page is at least as new.
    package var vector: VersionVector
    /// The table; empty for the authors of batches.
    package var table: String
    /// The last key that the page covers; `nil`: it covers the rest of the table.
    package var through: SQLiteValue?
    /// SipHash-2-4 of `payload`.
    package var checksum: UInt64
    /// Encoded row states, or encoded authors: at most 256 KiB, or one larger row.
    package var payload: [UInt8]
    /// How many rows the page has.
    package var rows: UInt32
    /// Whether this is the last page of the answer to the request.
    package var isLast: Bool
    /// What may have been forgotten of deleted rows: of a row that the state lacks and that this covers, the tombstone may be gone.
    package var forgotten: VersionVector
    /// Whether the sender left out rows of the page's range, which are too large to be sent.
    package var lacksRows: Bool

    /// Makes a page.
    package init(
        id: UInt64,
        vector: VersionVector,
        table: String,
        through: SQLiteValue?,
        checksum: UInt64,
        payload: [UInt8],
        rows: UInt32,
        isLast: Bool,
        forgotten: VersionVector = VersionVector(),
        lacksRows: Bool = false
    ) {
        self.id = id
        self.vector = vector
        self.table = table
        self.through = through
        self.checksum = checksum
        self.payload = payload
        self.rows = rows
        self.isLast = isLast
        self.forgotten = forgotten
        self.lacksRows = lacksRows
    }

    /// The place behind the page.
    package var cursor: StateCursor { StateCursor(table: self.table, key: self.through) }
}

/// The end of a state.
package struct StateEnd: Sendable, Hashable {
    /// The number of the request.
    package var id: UInt64
    /// What the transfer began with.
    package var vector: VersionVector
    /// What the sender had applied, or begun to collect, when it read the last page: no page is newer.
    package var through: VersionVector

    /// Makes an end.
    package init(id: UInt64, vector: VersionVector, through: VersionVector) {
        self.id = id
        self.vector = vector
        self.through = through
    }
}
