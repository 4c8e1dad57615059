package import ClinicSyncModel

/// What comparing the tables of two nodes has shown.
package struct PeerComparison: Sendable, Hashable {
    /// When the newest comparison ended.
    private var at: Duration
    /// When, by the clinic's time, milliseconds since 1970.
    private var milliseconds: Int64
    /// How many comparisons in a row found a difference; 0 after one that found none.
    private var differences: Int
    /// The tables that differed, as far as they are known.
    private var tables: [String] = []

    /// Begins with a comparison that ended `now`, whose wall time is the clinic's.
    init(isEqual: Bool, at now: Now) {
        self.at = now.monotonic
        self.milliseconds = Bounds.milliseconds(clamping: now.wallMilliseconds)
        self.differences = isEqual ? 0 : 1
    }

    /// Another comparison ended.
    mutating func add(isEqual: Bool, at now: Now) {
        let former = self
        self = PeerComparison(isEqual: isEqual, at: now)
        guard !isEqual else { return }
        self.differences = former.differences &+ 1
        self.tables = former.tables
    }

    /// The rows of a table are compared, because the table differs.
    mutating func add(_ table: String) {
        guard self.differences > 0, !self.tables.contains(table) else { return }
        if self.tables.count < MemberReport.Comparison.tablesMax { self.tables.append(table) }
    }

    /// Returns the comparison for people.
    ///
    /// - Parameters:
    ///   - time: The time.
    ///   - limit: An older comparison proves nothing.
    /// - Returns: The comparison; `nil` when it is old, or when the first difference was just found and is being repaired.
    package func report(at time: Duration, within limit: Duration) -> MemberReport.Comparison? {
        guard time - self.at <= limit, self.differences != 1 else { return nil }
        return MemberReport.Comparison(
            isEqual: self.differences == 0,
            milliseconds: self.milliseconds,
            tables: self.tables
        )
    }
}
