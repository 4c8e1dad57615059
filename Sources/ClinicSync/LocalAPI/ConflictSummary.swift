package import ClinicSyncModel

/// An entry of the conflict journal: the value that is not shown, and the value that is shown instead.
///
/// The names of the properties are the names of the JSON keys; keys may be added, never changed.
public struct ConflictSummary: Sendable, Hashable, Codable {
    /// One of the two values.
    public struct Side: Sendable, Hashable, Codable {
        /// The value; in lists cut after 2 000 characters, see ``isTruncated``.
        public var value: ConflictValue
        /// The node that wrote it.
        public var origin: String
        /// The display name of the node; empty when it is unknown.
        public var originName: String
        /// When it was written.
        public var timestamp: UTCTimestamp
        /// Whether ``value`` was cut.
        public var isTruncated: Bool

        private enum CodingKeys: String, CodingKey {
            case value, origin, originName, timestamp
            case isTruncated = "truncated"
        }

        /// Describes a value.
        public init(
            value: ConflictValue,
            origin: String,
            originName: String,
            timestamp: UTCTimestamp,
            isTruncated: Bool = false
        ) {
            self.value = value
            self.origin = origin
            self.originName = originName
            self.timestamp = timestamp
            self.isTruncated = isTruncated
        }

        /// Returns the side with its value cut to `max` characters.
        func cut(to max: Int) -> Side {
            guard case .text(let text) = self.value, text.count > max else { return self }
            var side = self
            side.value = .text(String(text.prefix(max)))
            side.isTruncated = true
            return side
        }
    }

    /// A value that was lost in the column of the entry.
    public struct LostValue: Sendable, Hashable, Codable {
        /// Identifies the value; a decision about this id counts for the whole entry.
        public var id: String
        /// The value.
        public var value: ConflictValue
        /// The node that wrote it.
        public var origin: String
        /// The display name of the node; empty when it is unknown.
        public var originName: String
        /// When it was written.
        public var timestamp: UTCTimestamp

        /// Describes a value.
        package init(id: String, _ side: Side) {
            self.id = id
            self.value = side.value
            self.origin = side.origin
            self.originName = side.originName
            self.timestamp = side.timestamp
        }
    }

    /// The other row of a conflict between two rows.
    public struct Row: Sendable, Hashable, Codable {
        /// Its table.
        public var table: String
        /// Its key.
        public var recordId: String

        /// Names a row.
        public init(table: String, recordId: String) {
            self.table = table
            self.recordId = recordId
        }
    }

    /// Identifies the entry on every node, permanently: 32 hexadecimal digits.
    public var id: String
    /// The table.
    public var table: String
    /// The row's key.
    public var recordId: String
    /// Whether the table has the row.
    public var shown: Bool
    /// The column; `null` when the conflict concerns the whole row.
    @Nullable public var column: String?
    /// What kind of conflict: `value`, `renamed`, `cleared`, `parked`, `merged`, `mergedValue`, `revived`, `kept`, `overruled`,
    /// `cascaded`, `detached`, `setAside`; there may be more.
    public var kind: String
    /// The value that the row shows now; `null` when the row is deleted or the entry concerns no column.
    @Nullable public var current: Side?
    /// The value that is not shown.
    ///
    /// For a deletion the value is `null` and the author is the node that deleted.
    public var other: Side
    /// How many values of the column the entry stands for, `other` among them: two PCs that write one field again and again leave
    /// one entry.
    public var count: Int
    /// These values, newest first and at most 500, when the entry is asked for by its id and stands for several; otherwise empty.
    public var values: [LostValue]
    /// The other row; `null` when there is none.
    @Nullable public var related: Row?
    /// `open` or `resolved`.
    public var state: String
    /// When a person resolved the conflict.
    @Nullable public var resolvedAt: UTCTimestamp?
    /// The name of the PC where a person resolved the conflict, or its id when it has no name.
    @Nullable public var resolvedBy: String?
    /// The value that the person kept, `current` or `other`.
    @Nullable public var kept: String?
    /// What happened, in one sentence for people.
    public var sentence: String
    /// The rule that decided, in one sentence.
    public var rule: String
    /// Whether `other` can be kept.
    public var canKeepOther: Bool
    /// How a person can undo the decision, in one sentence.
    public var takeBack: String

    /// Characters of a value in a list at most.
    static let listedCharactersMax = 2_000

    /// The facts of an entry; the sentences are derived from them.
    package struct Facts: Sendable, Hashable {
        /// See ``ConflictSummary/id``.
        package var id: String
        /// The kind of conflict.
        package var kind: ConflictKind
        /// The row.
        package var row: Row
        /// Whether the table has the row.
        package var isShown: Bool
        /// The column.
        package var column: String?
        /// The value that is shown.
        package var current: Side?
        /// The value that is not shown.
        package var other: Side
        /// See ``ConflictSummary/count``.
        package var count: Int
        /// The other row.
        package var related: Row?

        /// Collects facts.
        package init(
            id: String,
            kind: ConflictKind,
            row: Row,
            isShown: Bool,
            column: String?,
            current: Side?,
            other: Side,
            count: Int = 1,
            related: Row? = nil
        ) {
            self.id = id
            self.kind = kind
            self.row = row
            self.isShown = isShown
            self.column = column
            self.current = current
            self.other = other
            self.count = count
            self.related = related
        }
    }

    /// A person's decision.
    package struct Decision: Sendable, Hashable {
        /// When the person decided.
        package var at: UTCTimestamp
        /// The PC where the person decided.
        package var by: String?
        /// `current` or `other`.
        package var kept: String

        /// Makes a decision.
        package init(at: UTCTimestamp, by: String?, kept: String) {
            self.at = at
            self.by = by
            self.kept = kept
        }
    }

    /// Describes an entry.
    package init(_ facts: Facts, decision: Decision? = nil, values: [LostValue] = []) {
        self.id = facts.id
        self.table = facts.row.table
        self.recordId = facts.row.recordId
        self.shown = facts.isShown
        self.column = facts.column
        self.kind = facts.kind.rawValue
        self.current = facts.current
        self.other = facts.other
        self.count = facts.count
        self.values = values
        self.related = facts.related
        self.state = decision == nil ? "open" : "resolved"
        self.resolvedAt = decision?.at
        self.resolvedBy = decision?.by
        self.kept = decision?.kept
        let sentences = ConflictSentence(facts)
        self.sentence = sentences.whatHappened
        self.rule = sentences.rule
        self.canKeepOther = sentences.canKeepOther
        self.takeBack = sentences.takeBack
    }

    /// Returns the summary with values short enough for a list.
    package var listed: ConflictSummary {
        var summary = self
        summary.current = self.current?.cut(to: ConflictSummary.listedCharactersMax)
        summary.other = self.other.cut(to: ConflictSummary.listedCharactersMax)
        return summary
    }
}

/// The answer of `clinic-node conflicts --json` and `GET /v1/conflicts`.
public struct ConflictsSummary: Sendable, Hashable, Codable {
    /// The newest entries, newest first, at most 500.
    public var conflicts: [ConflictSummary]
    /// Entries that are open, listed or not.
    public var open: Int

    /// Makes a list.
    public init(conflicts: [ConflictSummary], open: Int) {
        self.conflicts = conflicts
        self.open = open
    }
}

/// Which conflicts the caller requests.
package enum ConflictFilter: String, Sendable, Hashable, CaseIterable {
    /// Open entries.
    case open
    /// All entries.
    case all
}

/// Which value a person wants to keep.
package enum ConflictChoice: String, Sendable, Hashable, Codable, CaseIterable {
    /// The value that the row shows.
    case current
    /// The value that lost.
    case other
}

/// The body of `POST /v1/conflicts/{id}/resolve`.
package struct ConflictDecision: Sendable, Hashable, Codable {
    /// The value to keep.
    package var keep: ConflictChoice
    /// The current value as the person saw it.
    ///
    /// If the row now shows another value, the node refuses the decision, so that the person can decide again.
    package var expected: ConflictValue?

    private enum CodingKeys: String, CodingKey {
        case keep, expected
    }

    /// Makes a decision.
    package init(keep: ConflictChoice, expected: ConflictValue? = nil) {
        self.keep = keep
        self.expected = expected
    }

    /// Reads a decision.
    ///
    /// A `null` is an expected value; a missing key means that no value is expected.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.keep = try container.decode(ConflictChoice.self, forKey: .keep)
        self.expected =
            container.contains(.expected) ? try container.decode(ConflictValue.self, forKey: .expected) : nil
    }
}
