import ClinicSyncCore
import ClinicSyncModel

/// Up to which number the batches of each author are no longer in the change log.
///
/// The floor alone decides what it means that a batch is not in the log. A batch up to the floor is *gone*: it was pruned, or
/// this node got the clinic's state instead of it. Chunks of such a batch that are still in the table wait for their removal and
/// count as gone. A batch above the floor that is applied here and that the log lacks is damage.
///
/// The column `floor` of `clinicsync_origin` keeps it. ``Origins`` writes the column, in the transaction that removes the chunks.
struct LogFloor: Sendable, Hashable {
    /// The batches that are gone.
    let gone: VersionVector

    /// Makes a floor.
    init(gone: VersionVector) { self.gone = gone }

    /// Reads the floor; for the reading half of the store, inside its snapshot.
    ///
    /// - Parameters:
    ///   - origins: the authors by their small numbers.
    ///   - connection: the connection that reads.
    /// - Returns: The floor.
    /// - Throws: ``OwnDamage`` when the table has an unknown author or an impossible number; what SQLite reports.
    static func read(of origins: [Origin], on connection: Connection) throws -> LogFloor {
        var entries: [VersionVector.Entry] = []
        try connection.query("SELECT id, floor FROM clinicsync_origin WHERE floor <> 0").forEach { row in
            guard let author = origins.author(row.int(0)) else {
                throw OwnDamage(.origin, "the numbers of authors were changed")
            }
            let floor = try OwnDamage.reading(.origin) { try row.sequence(1) }
            entries.append(VersionVector.Entry(origin: author, sequence: floor))
        }
        return LogFloor(gone: VersionVector(entries))
    }

    /// Says that all batches are gone that the authors have made: the log itself was lost.
    ///
    /// Their numbers stay, so none is used twice, and nodes that lack batches get the state.
    ///
    /// - Throws: what SQLite reports.
    static func raiseToNumbers(in transaction: borrowing WriteTransaction) throws {
        try transaction.execute("UPDATE clinicsync_origin SET floor = sequence WHERE sequence > floor")
    }

    /// Whether a batch is gone.
    func isGone(_ batch: BatchID) -> Bool { batch.sequence <= self.gone[batch.origin] }

    /// Whether the log can bring a node that has the batches of `vector` up to date; otherwise the node needs the state.
    func isReached(by vector: VersionVector) -> Bool { vector.covers(self.gone) }
}

extension [Origin] {
    /// The author with a small number; `nil` when there is none.
    func author(_ number: Int) -> Origin? { self.indices.contains(number) ? self[number] : nil }
}
