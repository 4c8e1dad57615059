import ClinicSyncModel

/// A message of a program over `/ws`.
enum EventSocketRequest: Sendable, Hashable {
    /// Sends the token.
    case authenticate(token: String)
    /// Asks for these events from now on, in place of earlier subscriptions.
    case subscribe(EventFilter)
    /// Ends the subscription.
    case unsubscribe
    /// Asks for a pong.
    case ping
}

/// Why the node refuses a message of a program.
///
/// The program receives the error and may continue.
struct EventSocketError: Error, Hashable {
    /// The error code for programs.
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
    init(_ bytes: [UInt8]) throws {
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
        case "subscribe": self = .subscribe(try EventSocketRequest.filter(body))
        case "unsubscribe": self = .unsubscribe
        case "ping": self = .ping
        default:
            throw EventSocketError(
                code: "unknown_type",
                message: "There is no such message: use auth, subscribe, unsubscribe or ping."
            )
        }
    }

    private static func filter(_ body: Body) throws -> EventFilter {
        do {
            return try EventFilter(
                categories: body.categories ?? [],
                tables: body.tables ?? [],
                users: body.users ?? [],
                since: body.since
            )
        } catch let fault as EventFilterFault {
            throw EventSocketError(code: fault.code, message: fault.message)
        }
    }
}

/// An answer of the node over `/ws`, other than events.
struct EventSocketReply: Encodable {
    var type: String
    var categories: [String]?
    var tables: [String]?
    var users: [String]?
    var position: UInt64?
    var error: String?
    var message: String?

    /// Confirms a subscription.
    static func subscribed(_ filter: EventFilter, after position: UInt64) -> EventSocketReply {
        EventSocketReply(
            type: "subscribed",
            categories: filter.categories.map(\.rawValue).sorted(),
            tables: filter.tables.sorted(),
            users: filter.users.map(\.displayText).sorted(),
            position: position
        )
    }

    /// Confirms the end of the subscription.
    static let unsubscribed = EventSocketReply(type: "unsubscribed")

    /// Answers a ping.
    static let pong = EventSocketReply(type: "pong")

    /// Names the error of a message.
    static func refused(_ error: EventSocketError) -> EventSocketReply {
        EventSocketReply(type: "error", error: error.code, message: error.message)
    }
}
