/// The verdict about the clinic: whether this PC and the others have equal tables.
public struct VerdictSummary: Sendable, Hashable, Codable {
    /// A member that is not connected.
    public struct Missing: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Its name for people.
        public var name: String
        /// When it was last heard of; `null` when it never was.
        @Nullable public var since: UTCTimestamp?
        /// What came of the last try to reach it, in words.
        public var reason: String

        /// Describes a member.
        public init(id: String, name: String, since: UTCTimestamp?, reason: String) {
            self.id = id
            self.name = name
            self.since = since
            self.reason = reason
        }
    }

    /// `equal`, `behind`, `differs`, `alone` or `unwell`.
    public var state: String
    /// The verdict in one sentence, without a full stop.
    public var sentence: String
    /// Since when the state has been so.
    public var since: UTCTimestamp
    /// How many other members are proven equal with this PC.
    public var equalWith: Int
    /// How many other members there are that have not lapsed.
    public var members: Int
    /// Those that are not connected.
    public var missing: [Missing]

    /// Makes a summary.
    public init(
        state: String,
        sentence: String,
        since: UTCTimestamp,
        equalWith: Int,
        members: Int,
        missing: [Missing]
    ) {
        self.state = state
        self.sentence = sentence
        self.since = since
        self.equalWith = equalWith
        self.members = members
        self.missing = missing
    }

    /// Whether every other member that has not lapsed is proven equal.
    public var isWhole: Bool { self.state == "equal" && self.equalWith == self.members }
}
