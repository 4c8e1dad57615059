/// A column's value as JSON: text, number or null; bytes as the text `x'…'`.
public enum ConflictValue: Sendable, Hashable, Codable {
    /// NULL.
    case null
    /// A whole number.
    case integer(Int64)
    /// A number.
    case number(Double)
    /// Text.
    case text(String)

    /// Reads text, a number or null.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let number = ConflictValue.attempt({ try container.decode(Int64.self) }) {
            self = .integer(number)
        } else if let number = ConflictValue.attempt({ try container.decode(Double.self) }) {
            self = .number(number)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    /// Writes text, a number or null; an infinite number as text, because JSON has none.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .integer(let number): try container.encode(number)
        case .number(let number) where number.isFinite: try container.encode(number)
        case .number, .text: try container.encode(self.description)
        }
    }

    /// A value of another type is no failure here; the next type is tried.
    private static func attempt<Result>(_ body: () throws -> Result) -> Result? {
        do { return try body() } catch { return nil }
    }
}

extension ConflictValue: CustomStringConvertible {
    /// The text form for people.
    public var description: String {
        switch self {
        case .null: "nothing"
        case .integer(let number): String(number)
        case .number(let number): String(number)
        case .text(let text): text
        }
    }
}

/// An entry of the conflict journal: two values of which only one can be in the table.
///
/// The names of the properties are the names of the JSON keys; keys may be added, never changed.
public struct ConflictSummary: Sendable, Hashable, Codable {
    /// One of the two values.
    public struct Side: Sendable, Hashable, Codable {
        /// The value; in lists cut after 2 000 characters, see ``isTruncated``.
        public var value: ConflictValue
        /// The node that wrote it.
        public var origin: String
        /// That node's name for people; empty when it is unknown.
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

        /// The same with a value of at most `max` characters.
        func cut(to max: Int) -> Side {
            guard case .text(let text) = self.value, text.count > max else { return self }
            var side = self
            side.value = .text(String(text.prefix(max)))
            side.isTruncated = true
            return side
        }
    }

    /// Names the entry on this node, for good.
    public var id: String
    /// The table.
    public var table: String
    /// The row's key.
    public var recordId: String
    /// The column.
    public var column: String
    /// What kind of conflict: `lost_value`.
    public var kind: String
    /// What the row shows now; `null` when the row is gone.
    @Nullable public var current: Side?
    /// What lost.
    public var other: Side
    /// When this node noticed.
    public var recordedAt: UTCTimestamp
    /// `open` or `resolved`.
    public var state: String
    /// When somebody dealt with it.
    @Nullable public var resolvedAt: UTCTimestamp?
    /// What that person kept, `current` or `other`.
    @Nullable public var kept: String?
    /// What happened, in one sentence for people.
    public var sentence: String

    /// The kind of an entry for a value that lost to a concurrent one.
    public static let lostValue = "lost_value"

    /// Characters of a value in a list at most.
    static let listedCharactersMax = 2_000

    /// Describes an entry.
    package init(
        id: String,
        table: String,
        recordId: String,
        column: String,
        current: Side?,
        other: Side,
        recordedAt: UTCTimestamp,
        resolvedAt: UTCTimestamp?,
        kept: String?
    ) {
        self.id = id
        self.table = table
        self.recordId = recordId
        self.column = column
        self.kind = ConflictSummary.lostValue
        self.current = current
        self.other = other
        self.recordedAt = recordedAt
        self.state = resolvedAt == nil ? "open" : "resolved"
        self.resolvedAt = resolvedAt
        self.kept = kept
        self.sentence = ""
        self.sentence = ConflictSentence(self).text
    }

    /// The same with values short enough for a list.
    package var listed: ConflictSummary {
        var summary = self
        summary.current = self.current?.cut(to: ConflictSummary.listedCharactersMax)
        summary.other = self.other.cut(to: ConflictSummary.listedCharactersMax)
        return summary
    }
}

/// What `clinic-node conflicts --json` and `GET /v1/conflicts` show.
public struct ConflictsSummary: Sendable, Hashable, Codable {
    /// The newest entries, newest first, at most 500.
    public var conflicts: [ConflictSummary]
    /// Entries that nobody dealt with, whether listed or not.
    public var open: Int

    /// Makes a list.
    public init(conflicts: [ConflictSummary], open: Int) {
        self.conflicts = conflicts
        self.open = open
    }
}

/// Which conflicts are asked for.
package enum ConflictFilter: String, Sendable, Hashable, CaseIterable {
    /// Those that nobody dealt with.
    case open
    /// All.
    case all
}

/// Which value a person wants to keep.
package enum ConflictChoice: String, Sendable, Hashable, Codable, CaseIterable {
    /// What the row shows.
    case current
    /// What lost.
    case other
}

/// The body of `POST /v1/conflicts/{id}/resolve`.
package struct ConflictDecision: Sendable, Hashable, Codable {
    /// What to keep.
    package var keep: ConflictChoice
    /// What the person saw as the current value; another one there now is a reason to ask again.
    package var expected: ConflictValue?

    private enum CodingKeys: String, CodingKey {
        case keep, expected
    }

    /// Makes a decision.
    package init(keep: ConflictChoice, expected: ConflictValue? = nil) {
        self.keep = keep
        self.expected = expected
    }

    /// Reads a decision; `null` is an expected value, a missing key is none.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.keep = try container.decode(ConflictChoice.self, forKey: .keep)
        self.expected =
            container.contains(.expected) ? try container.decode(ConflictValue.self, forKey: .expected) : nil
    }
}

/// Tells a receptionist what happened.
struct ConflictSentence {
    private let conflict: ConflictSummary

    /// Characters of a value at most.
    static let valueCharactersMax = 60

    init(_ conflict: ConflictSummary) { self.conflict = conflict }

    /// One sentence, without terms of the trade.
    var text: String {
        let conflict = self.conflict
        let what =
            "the \(ConflictSentence.words(conflict.column)) of one entry in \(ConflictSentence.words(conflict.table))"
        let other = ConflictSentence.quote(conflict.other.value)
        let writer = ConflictSentence.name(conflict.other)
        guard let current = conflict.current else {
            return "\(writer) entered \(other) for \(what), but that entry was deleted."
        }
        let shown = ConflictSentence.quote(current.value)
        guard current.origin != conflict.other.origin else {
            return
                "\(writer) entered \(other) for \(what) and somewhere else another value was entered at the same time: "
                + "\(shown) is shown now."
        }
        return "\(writer) and \(ConflictSentence.name(current)) changed \(what) without knowing of each other: "
            + "\(shown) is shown now, \(other) is not."
    }

    private static func name(_ side: ConflictSummary.Side) -> String {
        side.originName.isEmpty ? "A PC that is no longer known" : side.originName
    }

    private static func quote(_ value: ConflictValue) -> String {
        guard case .text(let text) = value else { return value.description }
        let line = String(text.prefix(self.valueCharactersMax).map { $0.isNewline ? " " : $0 })
        return "“\(line)\(text.count > self.valueCharactersMax ? "…" : "")”"
    }

    /// `contactNumber` and `patient_bills` as words.
    static func words(_ name: String) -> String {
        var words = ""
        var isAfterLower = false
        for character in name {
            if character == "_" {
                words.append(" ")
            } else if character.isUppercase, isAfterLower {
                words.append(" ")
                words += character.lowercased()
            } else {
                words.append(character)
            }
            isAfterLower = character.isLowercase || character.isNumber
        }
        return words
    }
}
