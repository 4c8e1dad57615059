/// An event that is not a change of a row: an event about the node itself, the end of a session, a notice.
///
/// In JSON the ``fields`` are at the top level, beside `position`, `type`, `category`, `recordId` and `timestamp`.
package struct NamedEvent: Sendable, Hashable {
    /// The event's type, for example `session_ended`.
    package var type: String
    /// The category by which programs subscribe.
    package var category: EventCategory
    /// The id of the event's subject, for example of a session; `nil` if the subject has no id.
    package var recordID: String?
    /// When it happened.
    package var timestamp: HybridTimestamp
    /// The other values by their JSON keys, without the five keys that every event has.
    ///
    /// The fields must not hold values of clinic rows, except ids and names of users and devices.
    package var fields: [String: EventValue]

    /// Makes an event.
    package init(
        type: String,
        category: EventCategory,
        recordID: String? = nil,
        timestamp: HybridTimestamp,
        fields: [String: EventValue] = [:]
    ) {
        self.type = type
        self.category = category
        self.recordID = recordID
        self.timestamp = timestamp
        self.fields = fields
    }

    /// The user that the event concerns: the text under the key `userId`.
    ///
    /// Programs can subscribe to one user's events.
    package var userID: String? {
        if case .text(let user)? = self.fields["userId"] { user } else { nil }
    }
}

/// A JSON value in an event's ``NamedEvent/fields``.
///
/// It encodes as the JSON value itself.
package indirect enum EventValue: Sendable, Hashable, Codable {
    /// `null`.
    case null
    /// `true` or `false`.
    case flag(Bool)
    /// A whole number.
    case number(Int64)
    /// A string.
    case text(String)
    /// An array.
    case list([EventValue])
    /// An object.
    case object([String: EventValue])

    /// Reads any JSON value except fractions.
    ///
    /// - Parameter decoder: The decoder of the value.
    /// - Throws: `DecodingError` for a fraction.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let list = EventValue.attempt({ try container.decode([EventValue].self) }) {
            self = .list(list)
        } else if let object = EventValue.attempt({ try container.decode([String: EventValue].self) }) {
            self = .object(object)
        } else if let flag = EventValue.attempt({ try container.decode(Bool.self) }) {
            self = .flag(flag)
        } else if let text = EventValue.attempt({ try container.decode(String.self) }) {
            self = .text(text)
        } else {
            self = .number(try container.decode(Int64.self))
        }
    }

    /// Writes the value.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .flag(let flag): try container.encode(flag)
        case .number(let number): try container.encode(number)
        case .text(let text): try container.encode(text)
        case .list(let list): try container.encode(list)
        case .object(let object): try container.encode(object)
        }
    }

    private static func attempt<Value>(_ body: () throws -> Value) -> Value? {
        do { return try body() } catch { return nil }
    }
}

extension UInt64 {
    /// The position before this one in a log of events; 0 has none before it.
    package var previousPosition: UInt64 { self == 0 ? 0 : self &- 1 }

    /// The position after this one in a log of events; the largest number has none after it.
    package var nextPosition: UInt64 { self == .max ? .max : self &+ 1 }
}

/// An event with its place in the node's log of events.
package struct LoggedEvent: Sendable, Hashable {
    /// What happened.
    package enum Content: Sendable, Hashable {
        /// A row changed.
        case change(ChangeEvent)
        /// An event that is not a change.
        case named(NamedEvent)
    }

    /// The event's place.
    ///
    /// The positions of one node ascend by one from event to event.
    ///
    /// It is 0 for changes of the nodes' own tables, which are not logged and not shown to programs.
    package var position: UInt64
    /// What happened.
    package var content: Content

    /// Makes an event.
    package init(position: UInt64, content: Content) {
        self.position = position
        self.content = content
    }

    /// The change; `nil` for a named event.
    package var change: ChangeEvent? {
        if case .change(let change) = self.content { change } else { nil }
    }

    /// The named event; `nil` for a change.
    package var named: NamedEvent? {
        if case .named(let named) = self.content { named } else { nil }
    }
}

/// A part of the node's log of events.
package struct EventPage: Sendable, Hashable {
    /// The oldest kept position; one more than ``newest`` when no event is kept.
    package var oldest: UInt64
    /// The newest position that was used.
    package var newest: UInt64
    /// The requested events, in ascending order.
    package var events: [LoggedEvent]

    /// Makes a page.
    package init(oldest: UInt64, newest: UInt64, events: [LoggedEvent]) {
        self.oldest = oldest
        self.newest = newest
        self.events = events
    }
}
