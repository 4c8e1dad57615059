import ClinicSyncModel
import NIOCore

/// The events that wait for one subscriber; the buffer merges events when the subscriber falls behind.
///
/// When the limit is reached, changes with the same table, operation and source become one event that stands for all
/// their rows. So the subscriber still learns which tables changed. Other events, such as the end of a session, are
/// never merged.
struct EventBuffer {
    private struct Entry {
        var event: NodeEvent
        /// The position of the oldest event that this entry represents.
        var oldest: UInt64
        var newest: UInt64
    }

    private struct MergeKey: Hashable {
        var table: String
        var operation: String?
        var source: String?
    }

    private let limit: Int
    private var entries = CircularBuffer<Entry>()

    /// Makes an empty buffer of at most `limit` events.
    init(limit: Int) { self.limit = limit }

    /// Whether nothing waits.
    var isEmpty: Bool { self.entries.isEmpty }

    /// Whether the next event would force a merge.
    var isFull: Bool { self.entries.count >= self.limit }

    /// The position before the oldest event that waits; `nil` when none waits.
    var positionBefore: UInt64? { self.entries.lazy.map(\.oldest).min().map(\.previousPosition) }

    /// Adds an event, whose position is larger than all earlier positions.
    ///
    /// - Returns: Whether the buffer still holds every event; if not, it is full of events that cannot be merged.
    mutating func append(_ event: NodeEvent) -> Bool {
        self.entries.append(Entry(event: event, oldest: event.position, newest: event.position))
        if self.entries.count > self.limit { self.merge() }
        return self.entries.count <= self.limit
    }

    /// Takes the oldest events, at most `count`.
    mutating func take(_ count: Int) -> [NodeEvent] {
        let taken = self.entries.prefix(count).map(\.event)
        self.entries.removeFirst(taken.count)
        return taken
    }

    /// Forgets everything.
    mutating func removeAll() { self.entries.removeAll() }

    private mutating func merge() {
        var indices: [MergeKey: Int] = [:]
        var newestFirst: [Entry] = []
        for entry in self.entries.reversed() {
            guard let table = entry.event.table else {
                newestFirst.append(entry)
                continue
            }
            let key = MergeKey(table: table, operation: entry.event.operation, source: entry.event.source)
            if let index = indices[key] {
                newestFirst[index].event.absorb(entry.event)
                newestFirst[index].oldest = min(newestFirst[index].oldest, entry.oldest)
            } else {
                indices[key] = newestFirst.count
                newestFirst.append(entry)
            }
        }
        // A subscriber that resumes after an event must get the later events. So its position is before their oldest
        // position.
        var oldestBehind = UInt64.max
        for index in newestFirst.indices {
            newestFirst[index].event.position = min(newestFirst[index].newest, oldestBehind.previousPosition)
            oldestBehind = min(oldestBehind, newestFirst[index].oldest)
        }
        self.entries = CircularBuffer(newestFirst.reversed())
    }
}

extension NodeEvent {
    /// Makes this event also represent the rows of an older event of the same kind.
    fileprivate mutating func absorb(_ older: NodeEvent) {
        self.rows = (self.rows ?? 1) &+ (older.rows ?? 1)
        self.recordId = nil
        self.transaction = nil
        if self.userId.map(SQLiteValue.string) != older.userId.map(SQLiteValue.string) { self.userId = nil }
        if self.origin != older.origin { self.origin = nil }
        if let columns = self.columns, let others = older.columns {
            self.columns = columns + others.filter { !columns.contains($0) }
        }
    }
}
