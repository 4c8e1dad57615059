import NIOConcurrencyHelpers
import NIOCore

/// The JSON of the newest events, so that each event is encoded once for all subscribers.
final class EventEncodings: Sendable {
    /// The events that are remembered; a subscriber that lags behind them pays for its encodings.
    static let max = 64

    private struct Entry {
        var event: NodeEvent
        var json: ByteBuffer
    }

    private let newest = NIOLockedValueBox(CircularBuffer<Entry>())

    /// The JSON of an event, on one line; from any thread.
    ///
    /// Others that want the same event wait while it is encoded, some ten microseconds.
    ///
    /// - Throws: `EncodingError`.
    func json(of event: NodeEvent) throws -> ByteBuffer {
        try self.newest.withLockedValue { newest in
            // An event that stands for several has the position of one of them, so the whole event is compared.
            if let known = newest.last(where: { $0.event.position == event.position && $0.event == event }) {
                return known.json
            }
            let json = ByteBuffer(bytes: try APICoding.encode(event))
            if newest.count >= EventEncodings.max { newest.removeFirst() }
            newest.append(Entry(event: event, json: json))
            return json
        }
    }
}
