package import ClinicSyncModel

/// An event as programs receive it; the names of the properties are the JSON keys.
///
/// An event other than the change of a row may have more keys, which depend on its type: see `docs/EVENTS.md`.
public struct NodeEvent: Sendable, Hashable {
    /// The position after which a subscriber can resume.
    ///
    /// Positions ascend. An event that represents several events may have the same position as the previous event.
    public var position: UInt64
    /// The type of the event: the type of a change's category, or a name such as `peer_lost`, `session_ended`,
    /// `notice`.
    public var type: String
    /// The category by which programs subscribe.
    public var category: String
    /// The table of a change.
    public var table: String?
    /// `insert`, `update` or `delete`, for changes.
    public var operation: String?
    /// The row's key, or the id of the subject of a named event; absent when the event represents many rows.
    public var recordId: String?
    /// The columns that changed.
    public var columns: [String]?
    /// How many rows the event represents; absent for one row.
    public var rows: Int?
    /// When the event happened.
    public var timestamp: UTCTimestamp
    /// `local` or `remote`, for changes.
    public var source: String?
    /// The node that wrote the change.
    public var origin: String?
    /// The transaction that carried the change, as `origin:number`; absent for repairs.
    public var transaction: String?
    /// The user that the event concerns, for events of the category `user` and notices to one user.
    public var userId: String?
    /// Further keys of an event that is not a change of a row.
    package var fields: [String: EventValue] = [:]

    /// More about a system event.
    public var details: [String: String]? {
        guard case .object(let object)? = self.fields["details"] else { return nil }
        return object.compactMapValues { value in
            switch value {
            case .text(let text): text
            case .number(let number): String(number)
            case .flag(let flag): String(flag)
            case .null, .list, .object: nil
            }
        }
    }

    /// Makes an event from an entry of the node's log.
    package init(_ logged: LoggedEvent) {
        switch logged.content {
        case .change(let change): self.init(change, position: logged.position)
        case .named(let named): self.init(named, position: logged.position)
        }
    }

    /// Makes the event of a change.
    package init(_ change: ChangeEvent, position: UInt64) {
        self.position = position
        self.type = change.type
        self.category = change.category.rawValue
        self.table = change.table
        self.operation = change.operation.rawValue
        self.recordId = change.recordID?.displayText
        self.columns = change.columns
        self.rows = change.rows == 1 ? nil : change.rows
        self.timestamp = UTCTimestamp(milliseconds: change.timestamp.milliseconds)
        self.source = change.isLocal ? "local" : "remote"
        self.origin = change.batch?.origin.description
        self.transaction = change.batch.map { "\($0.origin):\($0.sequence)" }
        self.userId = change.userID?.displayText
    }

    /// Makes an event that is not a change of a row.
    package init(_ named: NamedEvent, position: UInt64) {
        self.position = position
        self.type = named.type
        self.category = named.category.rawValue
        self.recordId = named.recordID
        self.timestamp = UTCTimestamp(milliseconds: named.timestamp.milliseconds)
        self.userId = named.userID
        self.fields = named.fields
        if self.userId != nil { self.fields["userId"] = nil }
    }

    /// The type of the system event that reports lost events to the subscriber.
    public static let resyncRequired = "resync_required"

    /// Makes the event that says that events before `oldest` are no longer in the log.
    static func resyncRequired(oldest: UInt64, at timestamp: HybridTimestamp) -> NodeEvent {
        let named = NamedEvent(
            type: NodeEvent.resyncRequired,
            category: .system,
            timestamp: timestamp,
            fields: ["details": .object(["oldestPosition": .text(String(oldest))])]
        )
        return NodeEvent(named, position: oldest.previousPosition)
    }
}

extension NodeEvent: Codable {
    private struct Key: CodingKey, Hashable {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
        init(_ name: String) { self.stringValue = name }
    }

    private static let keys: Set<String> = [
        "position", "type", "category", "table", "operation", "recordId", "columns", "rows", "timestamp", "source",
        "origin",
        "transaction", "userId",
    ]

    /// Reads an event.
    ///
    /// Unknown keys become ``fields``.
    ///
    /// - Parameter decoder: where the event is.
    /// - Throws: `DecodingError`.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        self.position = try values.decode(UInt64.self, forKey: Key("position"))
        self.type = try values.decode(String.self, forKey: Key("type"))
        self.category = try values.decode(String.self, forKey: Key("category"))
        self.table = try values.decodeIfPresent(String.self, forKey: Key("table"))
        self.operation = try values.decodeIfPresent(String.self, forKey: Key("operation"))
        self.recordId = try values.decodeIfPresent(String.self, forKey: Key("recordId"))
        self.columns = try values.decodeIfPresent([String].self, forKey: Key("columns"))
        self.rows = try values.decodeIfPresent(Int.self, forKey: Key("rows"))
        self.timestamp = try values.decode(UTCTimestamp.self, forKey: Key("timestamp"))
        self.source = try values.decodeIfPresent(String.self, forKey: Key("source"))
        self.origin = try values.decodeIfPresent(String.self, forKey: Key("origin"))
        self.transaction = try values.decodeIfPresent(String.self, forKey: Key("transaction"))
        self.userId = try values.decodeIfPresent(String.self, forKey: Key("userId"))
        for key in values.allKeys where !NodeEvent.keys.contains(key.stringValue) {
            self.fields[key.stringValue] = try values.decode(EventValue.self, forKey: key)
        }
    }

    /// Writes the event, with its further keys beside the common keys.
    ///
    /// - Parameter encoder: where to write.
    /// - Throws: `EncodingError`.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Key.self)
        try values.encode(self.position, forKey: Key("position"))
        try values.encode(self.type, forKey: Key("type"))
        try values.encode(self.category, forKey: Key("category"))
        try values.encodeIfPresent(self.table, forKey: Key("table"))
        try values.encodeIfPresent(self.operation, forKey: Key("operation"))
        try values.encodeIfPresent(self.recordId, forKey: Key("recordId"))
        try values.encodeIfPresent(self.columns, forKey: Key("columns"))
        try values.encodeIfPresent(self.rows, forKey: Key("rows"))
        try values.encode(self.timestamp, forKey: Key("timestamp"))
        try values.encodeIfPresent(self.source, forKey: Key("source"))
        try values.encodeIfPresent(self.origin, forKey: Key("origin"))
        try values.encodeIfPresent(self.transaction, forKey: Key("transaction"))
        try values.encodeIfPresent(self.userId, forKey: Key("userId"))
        for (name, value) in self.fields where !NodeEvent.keys.contains(name) {
            try values.encode(value, forKey: Key(name))
        }
    }
}
