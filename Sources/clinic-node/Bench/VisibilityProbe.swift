import ClinicSync
import Glibc

/// Writes to one file and looks at another until it is there.
struct VisibilityProbe {
    /// Between two looks; the timer's own slack comes on top.
    private static let pause: UInt32 = 50
    /// How long a row may take.
    private static let patience = Duration.seconds(120)

    private let writer: ProgramConnection
    private let insert: ProgramStatement
    private let observer: ProgramConnection
    private let version: ProgramStatement
    private let find: ProgramStatement

    init(writing: String, observing: String) throws {
        // As programs do that set nothing: every commit waits for the disk.
        self.writer = try ProgramConnection(path: writing, synchronous: .full)
        self.insert = try self.writer.prepare(PatientRows.insertSQL)
        self.observer = try ProgramConnection(path: observing, synchronous: .full)
        self.version = try self.observer.prepare("PRAGMA data_version")
        self.find = try self.observer.prepare("SELECT 1 FROM patients WHERE id = ?1")
    }

    /// Inserts a row every `interval`, a transaction each, until none is left or `isOver`, which is asked before each row.
    ///
    /// - Returns: Milliseconds from each commit's return to the row's being visible.
    func latencies(
        of data: PatientRows,
        every interval: Duration,
        until isOver: () throws -> Bool = { false }
    ) throws -> [Double] {
        let clock = ContinuousClock()
        let start = clock.now
        var latencies: [Double] = []
        var pending: [(row: Int, committed: ContinuousClock.Instant)] = []
        var next = 0
        var end = data.count
        var seen = try self.dataVersion()
        while next < end || !pending.isEmpty {
            if next < end, clock.now >= start + interval * next {
                guard try !isOver() else {
                    end = next
                    continue
                }
                try data.insert(next..<next + 1, with: self.insert)
                pending.append((next, clock.now))
                next += 1
            }
            if let oldest = pending.first {
                guard clock.now - oldest.committed < VisibilityProbe.patience else { throw VisibilityProbe.tooLong }
                let version = try self.dataVersion()
                if version != seen || latencies.isEmpty {
                    seen = version
                    // The moment before the read: the rows that it shows were visible then.
                    let now = clock.now
                    let (visible, hidden) = try self.sort(pending, data)
                    latencies += visible.map { (now - $0.committed) / .milliseconds(1) }
                    pending = hidden
                }
            }
            usleep(VisibilityProbe.pause)
        }
        return latencies
    }

    private typealias Pending = (row: Int, committed: ContinuousClock.Instant)

    private func sort(_ pending: [Pending], _ data: PatientRows) throws -> (visible: [Pending], hidden: [Pending]) {
        var visible: [Pending] = []
        var hidden: [Pending] = []
        for entry in pending {
            if try self.isVisible(data.key(entry.row)) { visible.append(entry) } else { hidden.append(entry) }
        }
        return (visible, hidden)
    }

    /// Inserts all rows in one transaction; seconds from the commit's return, and from the first row, to their being visible.
    func importing(_ data: PatientRows) throws -> (visible: Double, whole: Double) {
        let clock = ContinuousClock()
        let last = data.key(data.count - 1)
        let start = clock.now
        try self.writer.execute("BEGIN IMMEDIATE")
        try data.insert(0..<data.count, with: self.insert)
        try self.writer.execute("COMMIT")
        let committed = clock.now
        // A batch applies whole, so the last row stands for all.
        while try !self.isVisible(last) {
            guard clock.now - committed < VisibilityProbe.patience else { throw VisibilityProbe.tooLong }
            usleep(1_000)
        }
        let end = clock.now
        return ((end - committed) / .seconds(1), (end - start) / .seconds(1))
    }

    private static let tooLong = ClinicSyncError(
        .timeout,
        "A row was not visible on the other node in time: run the benchmark again on a machine with less to do."
    )

    private func dataVersion() throws -> Int {
        defer { self.version.reset() }
        return try self.version.step() ? self.version.integer(0) : 0
    }

    private func isVisible(_ key: [UInt8]) throws -> Bool {
        try key.withUnsafeBytes { key in
            self.find.bind(1, text: key)
            defer { self.find.reset() }
            return try self.find.step()
        }
    }
}
