/// What the core needs while it handles one input: the time, random numbers, and the effects found so far.
struct Turn: Sendable, Equatable {
    /// The time of the input.
    private(set) var time = Now(monotonic: .zero, wallMilliseconds: 0)
    /// The source of jitter; it continues from one turn to the next.
    var generator: SplitMix64
    /// Requests to the store that the store has not answered, those of earlier turns included.
    private(set) var unansweredRequests = 0
    private var effects: [Effect] = []

    /// Makes the state before the first input.
    init(seed: UInt64) {
        self.generator = SplitMix64(seed: seed)
    }

    /// Begins the turn of the next input.
    ///
    /// - Returns: How much time passed since the input before.
    mutating func begin(at time: Now) -> Duration {
        defer { self.time = time }
        return time.monotonic - self.time.monotonic
    }

    /// Adds an effect behind those found before.
    mutating func emit(_ effect: Effect) {
        if case .storage = effect { self.unansweredRequests += 1 }
        self.effects.append(effect)
    }

    /// Counts a reply of the store.
    mutating func requestAnswered() { self.unansweredRequests -= 1 }

    /// Ends the turn and returns its effects in their order.
    mutating func end() -> [Effect] {
        defer { self.effects = [] }
        return self.effects
    }
}
