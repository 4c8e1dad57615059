/// Waits for conditions that become true after a while.
enum Condition {
    /// The first pause; it doubles.
    private static let firstPause = Duration.milliseconds(1)
    /// The longest pause.
    private static let longestPause = Duration.milliseconds(50)

    /// Asks `condition` until it holds.
    ///
    /// - Throws: ``TestClinicError`` with `details` when the time is over.
    static func wait(
        for what: String,
        within limit: Duration,
        details: () throws -> String = { "" },
        until condition: () async throws -> Bool
    ) async throws {
        let clock = ContinuousClock()
        let deadline = clock.now + limit
        var pause = Condition.firstPause
        while try await !condition() {
            guard clock.now < deadline else {
                let details = try details()
                throw TestClinicError("Waited \(limit) in vain for \(what).\(details.isEmpty ? "" : "\n" + details)")
            }
            try await Task.sleep(for: pause)
            pause = min(pause * 2, Condition.longestPause)
        }
    }
}
