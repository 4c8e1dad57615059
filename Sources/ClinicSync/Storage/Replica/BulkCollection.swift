import ClinicSyncModel
import Foundation
import GRDB

/// One read snapshot over marks and rows, from which the collector takes slices.
///
/// While it lives, programs go on writing; what they write keeps its marks, because their count differs.
final class BulkCollection {
    /// The connection that holds the snapshot.
    let connection: Connection
    /// What to add to the marks' wall times.
    let offset: Int64
    /// How many more rows of the batch get an event of their own.
    var eventRowsLeft = EventCollector.rowsMax
    private let marks: Statement
    private var isOpen = true
    private var slices = 0
    private var foreignVersion: Int64?
    private var slicesSinceForeign = Int.max

    /// How long the write lock is left alone between slices: SQLite's busy handler looks every 25 ms or more often in
    /// the first 128 ms of a wait, so that a program that waits for the lock finds it free.
    static let gap: TimeInterval = 0.026
    /// While nobody else writes, the lock is left alone only after so many slices, which take less than 128 ms.
    static let slicesBetweenGaps = 3
    /// Others count as writing for so many slices after a commit of theirs.
    static let foreignMemory = 40

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

    /// Lets programs have the write lock before the next slice; `connection` is the one that writes.
    ///
    /// SQLite's lock is not fair: whoever takes it again at once starves those that wait for it.
    func makeWay(_ connection: Connection) throws {
        defer { self.slices += 1 }
        let version = try connection.statement("PRAGMA data_version").first { $0.int64(0) }
        if let known = self.foreignVersion, known != version { self.slicesSinceForeign = 0 }
        self.foreignVersion = version
        let isCrowded = self.slicesSinceForeign < BulkCollection.foreignMemory
        if isCrowded { self.slicesSinceForeign += 1 }
        guard self.slices > 0, isCrowded || self.slices.isMultiple(of: BulkCollection.slicesBetweenGaps) else { return }
        Thread.sleep(forTimeInterval: BulkCollection.gap)
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
