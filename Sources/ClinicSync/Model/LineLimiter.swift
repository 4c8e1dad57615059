/// Decides which of many similar log lines are written, so that a peer in a loop cannot fill the disk.
///
/// A subject's first lines are written, then one in each interval, with the number of those that were left out. A value
/// that knows no clock: the caller passes the time in.
package struct LineLimiter: Sendable, Hashable {
    /// The largest number of remembered subjects; lines of further subjects are left out.
    package static let subjectsMax = 1_024
    /// The time in which a subject gets its first lines, and the time between two lines after that.
    package static let interval: Duration = .seconds(60)

    private struct Entry: Sendable, Hashable {
        var begun: Duration
        var written: Int
        var omitted: UInt64
    }

    private let burst: Int
    private var entries: [String: Entry] = [:]

    /// Makes a limiter that writes `burst` lines of a subject before it leaves lines out.
    package init(burst: Int) { self.burst = burst }

    /// Counts a line about `subject`.
    ///
    /// - Returns: The number of lines that were left out since the last one; `nil` when this line is left out too.
    package mutating func admit(_ subject: String, at now: Duration) -> UInt64? {
        guard var entry = self.entries[subject] else {
            guard self.hasRoom(at: now) else { return nil }
            self.entries[subject] = Entry(begun: now, written: 1, omitted: 0)
            return 0
        }
        defer { self.entries[subject] = entry }
        if now - entry.begun >= LineLimiter.interval {
            let omitted = entry.omitted
            // A subject that went on after its first lines gets one line in each later interval.
            entry = Entry(begun: now, written: omitted == 0 ? 1 : self.burst, omitted: 0)
            return omitted
        }
        guard entry.written < self.burst else {
            entry.omitted += 1
            return nil
        }
        entry.written += 1
        return 0
    }

    /// Returns whether another subject can be remembered without forgetting one of the last interval.
    private mutating func hasRoom(at now: Duration) -> Bool {
        guard self.entries.count >= LineLimiter.subjectsMax else { return true }
        self.entries = self.entries.filter { now - $0.value.begun < LineLimiter.interval }
        return self.entries.count < LineLimiter.subjectsMax
    }
}
