import ClinicSyncCore

/// The authors of whom a batch may be whole in the log and not applied.
///
/// A transaction that applies batches looks only at them. Otherwise each batch would cost a query for each author of the clinic.
struct WaitingAuthors {
    /// The authors' small numbers; `nil` until the log was looked at.
    private var known: Set<Int>?

    /// Notes that a chunk of an author is logged.
    mutating func add(_ id: Int) { self.known?.insert(id) }

    /// Notes that the next batch of an author is not whole.
    mutating func remove(_ id: Int) { self.known?.remove(id) }

    /// Has the log looked at again.
    mutating func forget() { self.known = nil }

    /// The authors in their order.
    mutating func ids(on connection: Connection) throws -> [Int] {
        if let known = self.known { return known.sorted() }
        var found: Set<Int> = []
        try connection
            .query(
                """
                SELECT id FROM clinicsync_origin o
                WHERE EXISTS (SELECT 1 FROM clinicsync_log l WHERE l.origin = o.id AND l.sequence > o.sequence)
                """
            )
            .forEach { found.insert($0.int(0)) }
        self.known = found
        return found.sorted()
    }
}
