import ClinicSyncModel
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

@testable import ClinicSync

/// A log of events in memory that a broadcaster reads, with its newest events only, as the store keeps them.
final class MemoryEventLog: Sendable {
    private struct State {
        var events: [LoggedEvent] = []
        var newest: UInt64
        var reads = 0
    }

    private let keptMax: Int
    private let state: NIOLockedValueBox<State>

    init(lastPosition: UInt64 = 0, keptMax: Int = 10_000) {
        self.keptMax = keptMax
        self.state = NIOLockedValueBox(State(newest: lastPosition))
    }

    /// The number of pages that were read.
    var reads: Int { self.state.withLockedValue { $0.reads } }

    /// Gives events their positions.
    func append(_ contents: [LoggedEvent.Content]) -> [LoggedEvent] {
        self.state.withLockedValue { state in
            contents.map { content in
                state.newest += 1
                let event = LoggedEvent(position: state.newest, content: content)
                state.events.append(event)
                if state.events.count > self.keptMax { state.events.removeFirst() }
                return event
            }
        }
    }

    func page(after: UInt64, limit: Int) -> EventPage {
        self.state.withLockedValue { state in
            state.reads += 1
            return EventPage(
                oldest: state.events.first?.position ?? state.newest + 1,
                newest: state.newest,
                events: Array(state.events.filter { $0.position > after }.prefix(limit))
            )
        }
    }
}

/// A broadcaster with a log in memory.
struct LoggedBroadcaster: Sendable {
    let log: MemoryEventLog
    let broadcaster: EventBroadcaster

    init(lastPosition: UInt64 = 0, bufferMax: Int = 1_024, pageMax: Int = 500, keptMax: Int = 10_000) {
        let log = MemoryEventLog(lastPosition: lastPosition, keptMax: keptMax)
        self.log = log
        self.broadcaster = EventBroadcaster(bufferMax: bufferMax, pageMax: pageMax) { 1_000 }
        self.broadcaster.attach(lastPosition: lastPosition) { log.page(after: $0, limit: $1) }
    }

    func publish(_ changes: [ChangeEvent]) {
        self.broadcaster.publish(self.log.append(changes.map(LoggedEvent.Content.change)))
    }

    func publish(named events: [NamedEvent]) {
        self.broadcaster.publish(self.log.append(events.map(LoggedEvent.Content.named)))
    }

    func publishSystem(_ name: String, details: [String: String] = [:]) {
        self.publish(named: [.system(name, details)])
    }
}

extension NamedEvent {
    /// An event of the node about itself.
    static func system(_ name: String, _ details: [String: String] = [:]) -> NamedEvent {
        NamedEvent(
            type: name,
            category: .system,
            timestamp: HybridTimestamp(milliseconds: 1_000),
            fields: details.isEmpty ? [:] : ["details": .object(details.mapValues(EventValue.text))]
        )
    }

    /// The end of a session of `user`.
    static func sessionEnded(_ session: String, user: String) -> NamedEvent {
        NamedEvent(
            type: "session_ended",
            category: .user,
            recordID: session,
            timestamp: HybridTimestamp(milliseconds: 1_000),
            fields: ["userId": .text(user), "reason": .text("logout")]
        )
    }
}

extension EventBroadcaster {
    /// Publishes a system event with the next position, without a log.
    func publishSystem(_ name: String, details: [String: String] = [:]) {
        self.publish([LoggedEvent(position: self.lastPosition + 1, content: .named(.system(name, details)))])
    }
}

typealias FixedControl = LocalAPIServerTests.FixedControl

extension LocalAPIServerTests.FixedControl {
    /// The token of the local API in tests.
    static let token = LocalAPIServerTests.token

    /// Sends a request on a connection of its own and returns all that comes back until the server closes.
    static func exchange(_ address: NetworkAddress, _ lines: [String]) async throws -> String {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: address.host, port: address.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: lines.joined(separator: "\r\n") + "\r\n\r\n"))
            var answer = ""
            for try await buffer in inbound { answer += String(buffer: buffer) }
            return answer
        }
    }
}
