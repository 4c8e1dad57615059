/// Notices changes of the PC's own addresses, for example a new lease, another cable, or Wi-Fi instead of a cable.
struct AddressWatch: Sendable {
    /// The time between two checks.
    static let interval = Duration.seconds(5)

    private let interval: Duration
    private let look: @Sendable () -> [String]
    private let changed: @Sendable ([String]) -> Void

    /// Makes a watch, which does nothing before ``run()``.
    ///
    /// - Parameters:
    ///   - interval: the time between two checks.
    ///   - look: returns the current addresses.
    ///   - changed: called with the new addresses.
    init(
        interval: Duration = AddressWatch.interval,
        look: @escaping @Sendable () -> [String],
        changed: @escaping @Sendable ([String]) -> Void
    ) {
        self.interval = interval
        self.look = look
        self.changed = changed
    }

    /// Checks until cancelled.
    func run() async throws {
        var last = self.look()
        while true {
            try await Task.sleep(for: self.interval)
            let now = self.look()
            guard now != last else { continue }
            last = now
            self.changed(now)
        }
    }
}
