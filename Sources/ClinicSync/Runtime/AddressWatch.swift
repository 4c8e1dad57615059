/// Notices when the PC's own addresses change: another lease at night, another cable, Wi-Fi instead of it.
struct AddressWatch: Sendable {
    /// The time between two looks.
    static let interval = Duration.seconds(5)

    private let interval: Duration
    private let look: @Sendable () -> [String]
    private let changed: @Sendable ([String]) -> Void

    /// Makes a watch; nothing happens before ``run()``.
    ///
    /// - Parameters:
    ///   - interval: the time between two looks.
    ///   - look: the addresses as they are.
    ///   - changed: called with the new ones.
    init(
        interval: Duration = AddressWatch.interval,
        look: @escaping @Sendable () -> [String],
        changed: @escaping @Sendable ([String]) -> Void
    ) {
        self.interval = interval
        self.look = look
        self.changed = changed
    }

    /// Looks until cancelled.
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
