import ClinicSyncModel
import GRDB

/// One read snapshot over marks and rows, from which the collector takes slices.
///
/// While it lives, programs go on writing; what they write keeps its marks, because their count differs.
final class BulkCollection {
    /// The connection that holds the snapshot.
    let connection: Connection
    /// What to add to the marks' wall times.
    let offset: Int64
    private let marks: Statement
    private var isOpen = true

    /// Opens the snapshot.
    init(_ snapshots: DatabaseQueue, offset: Int64) throws {
        // The connection is used by the collector alone, on the writer's thread.
        self.connection = try snapshots.writeWithoutTransaction { try Connection($0) }
        self.offset = offset
        try self.connection.execute("BEGIN")
        self.marks = try Statement(
            "SELECT tableId, pk, writtenAt, n FROM clinicsync_dirty ORDER BY tableId, pk",
            on: self.connection
        )
    }

    /// The next mark; `nil` at the end.
    func next(_ plans: TablePlans) throws -> ReplicaWriter.Mark? {
        while self.isOpen, try self.marks.step() {
            // A mark of a table that is replicated no more is nobody's.
            guard let plan = plans[self.marks.int(0)] else { continue }
            return ReplicaWriter.Mark(
                plan: plan,
                key: self.marks.ref(1).value,
                writtenAt: self.marks.int64(2),
                count: self.marks.int64(3)
            )
        }
        return nil
    }

    /// Ends the snapshot.
    func abandon() {
        guard self.isOpen else { return }
        self.isOpen = false
        self.marks.reset()
        // Ending a read transaction cannot fail in a way that matters: the connection goes with it.
        _ = Result { try self.connection.execute("COMMIT") }
        self.connection.finalizeStatements()
    }
}
