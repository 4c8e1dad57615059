/// Virtual time, and the events to come.
struct Timeline {
    /// The time that the PCs need for their events; by default none.
    var processors: SimulatedProcessors?
    /// Virtual time since the start.
    private(set) var now: Duration = .zero
    private var events = EventQueue<SimulationEvent>()

    /// Adds an event that happens at `time`, or now when `time` has passed.
    mutating func add(_ event: SimulationEvent, at time: Duration) { self.events.add(event, at: max(self.now, time)) }

    /// Removes the next event and advances time to it; `nil` when no event happens up to `limit`.
    mutating func next(until limit: Duration) -> SimulationEvent? {
        guard let time = self.events.nextTime, time <= limit, let (_, event) = self.events.next() else { return nil }
        self.now = time
        return event
    }

    /// Advances time to `time`, if no event happens before.
    mutating func advance(to time: Duration) { self.now = max(self.now, time) }
}
