/// The answer of `clinic-node why --json` and `GET /v1/why`: the author of each value of a row.
///
/// The names of the properties are the names of the JSON keys; keys may be added, never changed.
public struct WhySummary: Sendable, Hashable, Codable {
    /// The author of a value or deletion, and the time.
    public struct Author: Sendable, Hashable, Codable {
        /// The node's id.
        public var origin: String
        /// The node's name for people; empty when it is unknown.
        public var originName: String
        /// When the author wrote, in the clinic's time.
        public var timestamp: UTCTimestamp
        /// The number of the transaction on its node, as in the events' `origin:number`.
        ///
        /// The number is 0 for the rows that every node begins with.
        public var number: UInt64

        /// Names an author.
        public init(origin: String, originName: String, timestamp: UTCTimestamp, number: UInt64) {
            self.origin = origin
            self.originName = originName
            self.timestamp = timestamp
            self.number = number
        }
    }

    /// One column.
    public struct Column: Sendable, Hashable, Codable {
        /// Its name.
        public var column: String
        /// The value that the table shows; for a row that is not in its table, the last known value.
        public var value: ConflictValue
        /// The author of the value; `null` when a program of this PC has just written it.
        @Nullable public var author: Author?
        /// The values that lost to the current value, newest first.
        public var beat: [ConflictSummary]

        /// Describes a column.
        public init(column: String, value: ConflictValue, author: Author?, beat: [ConflictSummary]) {
            self.column = column
            self.value = value
            self.author = author
            self.beat = beat
        }
    }

    /// The table.
    public var table: String
    /// The row's key.
    public var recordId: String
    /// `shown`, `hidden`, `deleted`, or `unknown` when this PC does not know the row.
    public var state: String
    /// The newest deletion, even when the row survived it; `null` when the row was never deleted.
    @Nullable public var deleted: Author?
    /// The requested columns.
    public var columns: [Column]
    /// Conflicts that concern the whole row, newest first.
    public var conflicts: [ConflictSummary]
    /// When this PC got the rows of another PC in place of the history that made them; `null` when it has all of the history.
    @Nullable public var historySince: UTCTimestamp?

    /// Describes a row.
    public init(
        table: String,
        recordId: String,
        state: String,
        deleted: Author?,
        columns: [Column],
        conflicts: [ConflictSummary],
        historySince: UTCTimestamp? = nil
    ) {
        self.table = table
        self.recordId = recordId
        self.state = state
        self.deleted = deleted
        self.columns = columns
        self.conflicts = conflicts
        self.historySince = historySince
    }
}
