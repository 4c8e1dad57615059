package import ClinicSyncModel

/// The body of `POST /v1/conflicts/resolve`: one decision about all open conflicts that fit.
///
/// A key that is absent leaves out no conflict. A key that is unknown is an error, because a misspelt filter would settle everything.
package struct ConflictsDecision: Sendable, Hashable, Codable {
    /// Which of the two values to keep.
    package var keep: ConflictChoice
    /// The table of the row.
    package var table: String?
    /// The column.
    package var column: String?
    /// The kind of conflict.
    package var kind: ConflictKind?
    /// The PC that wrote what is not shown: its id, the beginning of the id, or its name.
    package var pc: String?
    /// The earliest time of what is not shown.
    package var since: UTCTimestamp?
    /// The latest time of what is not shown.
    package var until: UTCTimestamp?
    /// Whether to count only.
    package var dryRun: Bool
    /// How many conflicts the person saw; if there are more or fewer now, the node refuses.
    package var expected: Int?

    /// The keys of the document.
    private enum CodingKeys: String, CodingKey, CaseIterable {
        case keep, table, column, kind, pc, since, until, dryRun, expected
    }

    private struct AnyKey: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// Decides about all open conflicts; set the other properties to leave some out.
    package init(keep: ConflictChoice, dryRun: Bool = false) {
        self.keep = keep
        self.dryRun = dryRun
    }

    /// Reads a decision.
    package init(from decoder: any Decoder) throws {
        let names = try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue).sorted()
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let unknown = names.first(where: { CodingKeys(rawValue: $0) == nil }) {
            throw ClinicSyncError(
                .usage,
                "\"\(unknown)\" is no part of this decision: use \(CodingKeys.allCases.map(\.rawValue).joined(separator: ", "))."
            )
        }
        self.keep = try container.decode(ConflictChoice.self, forKey: .keep)
        self.table = try container.decodeIfPresent(String.self, forKey: .table)
        self.column = try container.decodeIfPresent(String.self, forKey: .column)
        if let kind = try container.decodeIfPresent(String.self, forKey: .kind) {
            self.kind = try ConflictsDecision.kind(kind)
        }
        self.pc = try container.decodeIfPresent(String.self, forKey: .pc)
        self.since = try container.decodeIfPresent(UTCTimestamp.self, forKey: .since)
        self.until = try container.decodeIfPresent(UTCTimestamp.self, forKey: .until)
        self.dryRun = try container.decodeIfPresent(Bool.self, forKey: .dryRun) ?? false
        self.expected = try container.decodeIfPresent(Int.self, forKey: .expected)
    }

    /// Writes a decision, with the keys that it has.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(self.keep, forKey: .keep)
        try container.encodeIfPresent(self.table, forKey: .table)
        try container.encodeIfPresent(self.column, forKey: .column)
        try container.encodeIfPresent(self.kind?.rawValue, forKey: .kind)
        try container.encodeIfPresent(self.pc, forKey: .pc)
        try container.encodeIfPresent(self.since, forKey: .since)
        try container.encodeIfPresent(self.until, forKey: .until)
        if self.dryRun { try container.encode(true, forKey: .dryRun) }
        try container.encodeIfPresent(self.expected, forKey: .expected)
    }

    /// The kind of conflict that a person names.
    ///
    /// - Throws: ``ClinicSyncError`` of code `usage` when there is none of this name.
    package static func kind(_ text: String) throws -> ConflictKind {
        guard let kind = ConflictKind(rawValue: text) else {
            let kinds = ConflictKind.allCases.map(\.rawValue).joined(separator: ", ")
            throw ClinicSyncError(.usage, "There are no conflicts of the kind \"\(text)\": use one of \(kinds).")
        }
        return kind
    }
}

/// The answer of `clinic-node conflicts resolve --all --json` and `POST /v1/conflicts/resolve`.
public struct ConflictsResolution: Sendable, Hashable, Codable {
    /// A conflict that stays open.
    public struct Left: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Why, in one sentence that says what to do.
        public var reason: String
    }

    /// Open conflicts that fitted, as `clinic-node conflicts` lists them.
    public var matching: Int
    /// Those of them that are settled now; 0 after a dry run.
    public var resolved: Int
    /// Those of them that stay open, at most 100; none after a dry run.
    public var left: [Left]
    /// Whether the node counted only.
    public var dryRun: Bool

    /// Conflicts in ``left`` at most.
    static let leftMax = 100

    /// Makes an answer with nothing settled.
    package init(matching: Int, dryRun: Bool) {
        self.matching = matching
        self.resolved = 0
        self.left = []
        self.dryRun = dryRun
    }

    /// Notes a conflict that stays open.
    package mutating func leave(_ id: String, reason: String) {
        if self.left.count < ConflictsResolution.leftMax { self.left.append(Left(id: id, reason: reason)) }
    }
}
