/// A queue of events in the order of their times; events of one time keep the order of their insertion.
package struct EventQueue<Event> {
    private struct Entry {
        var time: Duration
        var sequence: UInt64
        var event: Event

        func isBefore(_ other: Entry) -> Bool {
            self.time == other.time ? self.sequence < other.sequence : self.time < other.time
        }
    }

    /// A binary heap: the earliest first.
    private var heap: [Entry] = []
    private var lastSequence: UInt64 = 0

    /// Makes an empty queue.
    package init() {}

    /// The time of the earliest event; `nil` when there is none.
    package var nextTime: Duration? { self.heap.first?.time }

    /// Adds an event.
    package mutating func add(_ event: Event, at time: Duration) {
        self.lastSequence += 1
        self.heap.append(Entry(time: time, sequence: self.lastSequence, event: event))
        var index = self.heap.count - 1
        while index > 0, self.heap[index].isBefore(self.heap[(index - 1) / 2]) {
            self.heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    /// Removes and returns the earliest event.
    package mutating func next() -> (time: Duration, event: Event)? {
        guard let first = self.heap.first, let last = self.heap.popLast() else { return nil }
        if !self.heap.isEmpty {
            self.heap[0] = last
            self.sink()
        }
        return (first.time, first.event)
    }

    private mutating func sink() {
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < self.heap.count {
                if self.heap[child].isBefore(self.heap[least]) { least = child }
            }
            guard least != index else { return }
            self.heap.swapAt(index, least)
            index = least
        }
    }
}
