/// Counts wrong codes by address, and says who has had enough.
///
/// Bounded: when there are too many addresses, that which failed longest ago is forgotten.
struct LockOut: Sendable {
    private struct Failures: Sendable {
        var count: Int
        var lastAt: Int64
    }

    /// Wrong codes until an address is locked out.
    static let failuresMax = 10
    /// How long it stays so, and how long wrong codes are remembered.
    static let duration: Int64 = 15 * 60_000
    /// Addresses at most.
    static let addressesMax = 1_024

    private var failures: [String: Failures] = [:]

    /// Whether nothing from `address` is looked at.
    func isLocked(_ address: String, at now: Int64) -> Bool {
        guard let failures = self.failures[address] else { return false }
        return failures.count >= LockOut.failuresMax && LockOut.counts(failures, at: now)
    }

    /// Counts a wrong code from `address`.
    mutating func count(_ address: String, at now: Int64) {
        let known = self.failures[address].flatMap { LockOut.counts($0, at: now) ? $0 : nil }
        self.failures[address] = Failures(count: (known?.count ?? 0) + 1, lastAt: now)
        guard self.failures.count > LockOut.addressesMax,
            let oldest = self.failures.min(by: { $0.value.lastAt < $1.value.lastAt })
        else { return }
        self.failures[oldest.key] = nil
    }

    /// Neither before its time nor, after the clock was set back, for ever.
    private static func counts(_ failures: Failures, at now: Int64) -> Bool {
        now - failures.lastAt < LockOut.duration && failures.lastAt - now < LockOut.duration
    }
}
