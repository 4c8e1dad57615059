/// The rows in the tables of trust that nobody signed, and when they may be removed.
///
/// A row may be ahead of its proof: a certificate can arrive before the grant of its signer. So a row is removed only when
/// it has been without a valid signature for a while. Removals are bounded, so that a forger cannot make the clinic write
/// without end.
struct UnsignedRows {
    /// How long a row stays before it is removed.
    static let grace = Duration.seconds(60)
    /// The largest number of rows that one call removes.
    static let removedMax = 256
    /// The largest number of rows that are kept in mind.
    static let rowsMax = 4_096

    let grace: Duration
    private var since: [TrustLook.Row: Duration] = [:]

    /// Makes an empty set.
    init(grace: Duration = UnsignedRows.grace) { self.grace = grace }

    /// The number of rows, up to ``rowsMax``.
    var count: Int { self.since.count }

    /// Records what a look found.
    ///
    /// - Parameters:
    ///   - rows: the unsigned rows.
    ///   - isWhole: whether the look read all rows of all tables.
    ///   - now: the time of a monotonic clock.
    mutating func found(_ rows: [TrustLook.Row], isWhole: Bool, at now: Duration) {
        if isWhole {
            let present = Set(rows)
            self.since = self.since.filter { present.contains($0.key) }
        }
        for row in rows where self.since[row] == nil && self.since.count < UnsignedRows.rowsMax {
            self.since[row] = now
        }
    }

    /// Returns rows that must be removed now; the set forgets them.
    ///
    /// `found` are the unsigned rows of the newest look: a row that was signed meanwhile is not among them.
    mutating func due(among found: [TrustLook.Row], at now: Duration) -> [TrustLook.Row] {
        let due = found.filter { row in self.since[row].map { now - $0 >= self.grace } ?? false }
            .prefix(UnsignedRows.removedMax)
        for row in due { self.since[row] = nil }
        return Array(due)
    }
}
