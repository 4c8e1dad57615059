/// Virtual time and what is to happen.
struct Timeline {
    /// Virtual time since the start.
    private(set) var now: Duration = .zero
    private var events = EventQueue<SimulationEvent>()

    /// Adds an event that happens at `time`, or now when `time` is over.
    mutating func add(_ event: SimulationEvent, at time: Duration) { self.events.add(event, at: max(self.now, time)) }

    /// Takes the next event and moves time on to it; `nil` when none happens up to `limit`.
    mutating func next(until limit: Duration) -> SimulationEvent? {
        guard let time = self.events.nextTime, time <= limit, let (_, event) = self.events.next() else { return nil }
        self.now = time
        return event
    }

    /// Moves time on to `time`, when nothing happens before.
    mutating func advance(to time: Duration) { self.now = max(self.now, time) }
}
