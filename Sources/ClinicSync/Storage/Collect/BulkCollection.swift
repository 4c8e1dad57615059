import ClinicSyncModel
import Foundation
import GRDB

/// One read snapshot over marks and rows, from which the collector takes slices.
///
/// While it is open, programs continue to write; rows that they write keep their marks, because the marks' count differs.
final class BulkCollection {
    /// The connection that holds the snapshot.
    let connection: Connection
    /// What to add to the marks' wall times.
    let offset: Int64
    /// How many more rows of the batch get an event of their own.
    var eventRowsLeft = EventCollector.rowsMax
    /// After how many marks a slice ends; `nil`: when its time is over.
    private let sliceMarks: Int?
    private let marks: Statement
    private var isOpen = true
    private var slices = 0
    private var foreignVersion: Int64?
    /// A program has just written what is collected.
    private var slicesSinceForeign = 0

    /// The write lock is held for this long at a time; below 50 ms, to leave room for the last rows and the commit.
    private static let slice: Duration = .milliseconds(30)
    /// After so many marks the collector looks at the clock: up to 3 ms with rows that concern other rows.
    private static let marksBetweenLooks = 8
    /// While no program writes, the lock is left free only after this many slices, which take less than 128 ms.
    static let slicesBetweenGaps = 3
    /// Programs count as writing for this many slices after their last commit.
    static let foreignMemory = 40

    /// Opens the snapshot.
    init(_ snapshots: DatabaseQueue, offset: Int64, sliceMarks: Int?) throws {
        // The connection is used by the collector alone, on the writer's thread.
        self.connection = try snapshots.writeWithoutTransaction { try Connection($0) }
        self.offset = offset
        self.sliceMarks = sliceMarks
        try self.connection.beginSnapshot()
        self.marks = try self.connection.separateQuery(Marks.selectSQL)
    }

    /// The next mark; `nil` at the end.
    func next(_ plans: TablePlans) throws -> Mark? {
        while self.isOpen, try self.marks.step() {
            // A mark of a table that is no longer replicated is passed over.
            if let mark = Mark(self.marks, plans: plans) { return mark }
        }
        return nil
    }

    /// Whether a slice that began at `start` ends after its first `count` marks.
    func isSliceOver(after count: Int, since start: ContinuousClock.Instant) -> Bool {
        if let sliceMarks { return count >= sliceMarks }
        return count.isMultiple(of: BulkCollection.marksBetweenLooks)
            && start.duration(to: .now) >= BulkCollection.slice
    }

    /// Lets programs have the write lock before the next slice; `connection` is the one that writes.
    func makeWay(_ connection: Connection) throws {
        defer { self.slices += 1 }
        let version = try connection.query("PRAGMA data_version").first { $0.int64(0) }
        if let known = self.foreignVersion, known != version { self.slicesSinceForeign = 0 }
        self.foreignVersion = version
        let isCrowded = self.slicesSinceForeign < BulkCollection.foreignMemory
        if isCrowded { self.slicesSinceForeign += 1 }
        // In the simulator, where slices are counted in marks, no program waits.
        guard self.sliceMarks == nil, self.slices > 0,
            isCrowded || self.slices.isMultiple(of: BulkCollection.slicesBetweenGaps)
        else { return }
        Thread.sleep(forTimeInterval: LockWaiting.gap / .seconds(1))
    }

    /// Ends the snapshot.
    func abandon() {
        guard self.isOpen else { return }
        self.isOpen = false
        self.marks.reset()
        // Ending a read transaction cannot fail in a way that matters: the connection goes with it.
        _ = Result { try self.connection.endSnapshot() }
        self.connection.finalizeStatements()
    }
}
