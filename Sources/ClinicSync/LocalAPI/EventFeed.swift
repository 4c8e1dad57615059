import ClinicSyncModel
import NIOCore

/// The events of one subscriber as JSON, for both the WebSocket `/ws` and the stream `/v1/events`.
struct EventFeed: Sendable {
    /// The largest number of events in one write.
    static let batchMax = 256

    /// Some events for one subscriber, in their order.
    struct Batch: Sendable {
        /// One JSON object for each event; at least one.
        var objects: [ByteBuffer]
        /// The generation of the filter that the events passed; see ``EventBatch/generation``.
        var generation: UInt64
    }

    let subscription: EventSubscription

    /// Returns the next events as soon as there are some; `nil` at the end.
    ///
    /// Call this method after the previous events are written. So a slow subscriber uses no memory beyond its own
    /// buffer.
    func next() async throws -> Batch? {
        guard let batch = await self.subscription.nextBatch(EventFeed.batchMax) else { return nil }
        let objects = try batch.events.map { try self.subscription.encodings.json(of: $0) }
        return Batch(objects: objects, generation: batch.generation)
    }
}

/// Why a request for events is invalid.
enum EventFilterFault: Error, Hashable {
    /// There is no category of that name.
    case unknownCategory(String)
    /// A list has more names than ``EventFilter/namesMax``.
    case tooMany

    /// The error code for programs.
    var code: String {
        switch self {
        case .unknownCategory: "unknown_category"
        case .tooMany: "too_many"
        }
    }

    /// One sentence for people.
    var message: String {
        switch self {
        case .unknownCategory(let name):
            "There is no category \"\(name.prefix(64))\": use one of "
                + EventCategory.allCases.map(\.rawValue).joined(separator: ", ") + "."
        case .tooMany: "A list of a subscription has at most \(EventFilter.namesMax) names: ask for fewer."
        }
    }
}

extension EventFilter {
    /// The largest number of names in one list of a subscription.
    static let namesMax = 256

    /// Builds a filter from a program's request.
    ///
    /// - Throws: ``EventFilterFault``.
    init(categories: [String], tables: [String], users: [String], since: UInt64?) throws {
        guard [categories, tables, users].allSatisfy({ $0.count <= EventFilter.namesMax }) else {
            throw EventFilterFault.tooMany
        }
        let known = try categories.map { name in
            guard let category = EventCategory(rawValue: name) else { throw EventFilterFault.unknownCategory(name) }
            return category
        }
        self.init(categories: Set(known), tables: Set(tables), users: Set(users.map(SQLiteValue.string)), since: since)
    }
}
