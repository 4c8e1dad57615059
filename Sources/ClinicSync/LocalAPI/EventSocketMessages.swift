import ClinicSyncModel

/// What a program says over `/ws`.
enum EventSocketRequest: Sendable, Hashable {
    /// Proves itself.
    case authenticate(token: String)
    /// Wants these events from now on, instead of those before.
    case subscribe(EventFilter)
    /// Wants no events.
    case unsubscribe
    /// Asks whether the node is there.
    case ping
}

/// Why a message of a program comes to nothing; the program is told and may go on.
struct EventSocketError: Error, Hashable {
    /// The code programs look at.
    var code: String
    /// One sentence.
    var message: String
}

extension EventSocketRequest {
    private struct Body: Decodable {
        var type: String
        var token: String?
        var categories: [String]?
        var tables: [String]?
        var users: [String]?
        var since: UInt64?
    }

    /// Reads a message.
    ///
    /// - Throws: ``EventSocketError``.
    init(_ bytes: [UInt8], namesMax: Int) throws {
        let body: Body
        do {
            body = try APICoding.decode(Body.self, from: bytes)
        } catch {
            throw EventSocketError(
                code: "malformed",
                message: "Send one JSON object with a \"type\", and values as docs/EVENTS.md describes them."
            )
        }
        switch body.type {
        case "auth": self = .authenticate(token: body.token ?? "")
        case "subscribe": self = .subscribe(try EventSocketRequest.filter(body, namesMax: namesMax))
        case "unsubscribe": self = .unsubscribe
        case "ping": self = .ping
        default:
            throw EventSocketError(
                code: "unknown_type",
                message: "There is no such message: use auth, subscribe, unsubscribe or ping."
            )
        }
    }

    private static func filter(_ body: Body, namesMax: Int) throws -> EventFilter {
        let lists = [body.categories, body.tables, body.users]
        guard lists.allSatisfy({ $0?.count ?? 0 <= namesMax }) else {
            throw EventSocketError(code: "too_many", message: "A list of a subscription has at most \(namesMax) names.")
        }
        let categories = try (body.categories ?? []).map { name in
            guard let category = EventCategory(rawValue: name) else {
                let names = EventCategory.allCases.map(\.rawValue).joined(separator: ", ")
                throw EventSocketError(code: "unknown_category", message: "Use the categories \(names).")
            }
            return category
        }
        return EventFilter(
            categories: Set(categories),
            tables: Set(body.tables ?? []),
            users: Set(body.users ?? []),
            since: body.since
        )
    }
}

/// What the node answers over `/ws`, beside events.
struct EventSocketReply: Encodable {
    var type: String
    var categories: [String]?
    var tables: [String]?
    var users: [String]?
    var position: UInt64?
    var error: String?
    var message: String?

    /// Says what comes from now on.
    static func subscribed(_ filter: EventFilter, after position: UInt64) -> EventSocketReply {
        EventSocketReply(
            type: "subscribed",
            categories: filter.categories.map(\.rawValue).sorted(),
            tables: filter.tables.sorted(),
            users: filter.users.sorted(),
            position: position
        )
    }

    /// Says that nothing comes from now on.
    static let unsubscribed = EventSocketReply(type: "unsubscribed")

    /// Answers a ping.
    static let pong = EventSocketReply(type: "pong")

    /// Says what was wrong.
    static func refused(_ error: EventSocketError) -> EventSocketReply {
        EventSocketReply(type: "error", error: error.code, message: error.message)
    }
}
