import ClinicSync
import Foundation
import Glibc

/// Measures how long a new node takes to get a clinic's state, beside a copy of the host's file and a check of the copy.
///
/// The host and the new node run as processes of this machine. The host's log is emptied, as it is when the retention has passed.
/// Then a further node joins, while a program writes at the first one: how soon does the host show its rows meanwhile?
struct JoinBenchmark: Benchmark {
    static let name = "join"

    /// Rows of the clinic.
    var rows: Int

    /// Rows of one import; the host collects each before the next begins.
    private static let rowsPerImport = 100_000
    /// How long the host may take to collect an import, and the new node to get everything.
    private static let patience = Duration.seconds(900)

    /// Rows that the program writes in a second, and for how many seconds before the further node joins.
    private static let changesPerSecond = 20
    private static let secondsBefore = 10

    /// The largest resident memory of two processes in MB, and the time that passed.
    private struct Watched {
        var seconds = 0.0
        var host = 0.0
        var joiner = 0.0
    }

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        try self.fill(files)
        let (copy, check) = try self.copy(files)
        let (joined, before, meanwhile) = try self.join(files)
        let size = try FileManager.default.attributesOfItem(atPath: files.path("joiner/clinic.db"))[.size] as? Int ?? 0
        let goal = Goal.valueAtMost(100)
        return [
            Measurement(
                "a new node gets \(self.rows) rows, beside a copy of the file and its check",
                unit: "s",
                samples: [joined.seconds],
                beside: [copy + check],
                goal: .ratioAtMost(3)
            ),
            Measurement("copy of the host's file", unit: "s", samples: [copy]),
            Measurement("PRAGMA integrity_check of the copy", unit: "s", samples: [check]),
            Measurement("rate", unit: "rows/s", samples: [Double(self.rows) / joined.seconds]),
            Measurement("memory of the host meanwhile, largest", unit: "MB", samples: [joined.host], goal: goal),
            Measurement("memory of the new node meanwhile, largest", unit: "MB", samples: [joined.joiner], goal: goal),
            Measurement("file of the new node", unit: "MB", samples: [Double(size) / 1_000_000]),
        ] + JoinBenchmark.delays(meanwhile, beside: before)
    }

    private static func delays(_ meanwhile: [Double], beside before: [Double]) -> [Measurement] {
        [("median", 0.5, Goal.ratioAtMost(2)), ("p99", 0.99, Goal.none), ("largest", 1, Goal.none)].map {
            name,
            quantile,
            goal in
            Measurement(
                "commit on a client to visible on the host while another node joins, beside before, \(name)",
                unit: "ms",
                quantile: quantile,
                of: meanwhile,
                beside: before,
                goal: goal
            )
        }
    }

    /// Makes a clinic of one host with the rows, whose log was emptied.
    private func fill(_ files: BenchFiles) throws {
        let nodes = try NodeProcess.start(["host"], in: files)
        defer { for node in nodes { node.stop() } }
        let connection = try ProgramConnection(path: nodes[0].database, synchronous: .normal)
        var left = self.rows
        var batch = 0
        while left > 0 {
            let data = PatientRows(count: min(left, JoinBenchmark.rowsPerImport), batch: batch)
            let statement = try connection.prepare(PatientRows.insertSQL)
            try connection.execute("BEGIN IMMEDIATE")
            try data.insert(0..<data.count, with: statement)
            try connection.execute("COMMIT")
            try JoinBenchmark.wait { try connection.integer("SELECT count(*) FROM clinicsync_dirty") == 0 }
            left -= data.count
            batch += 1
        }
        nodes[0].stop()
        try connection.execute(
            """
            BEGIN; UPDATE clinicsync_origin SET floor = sequence WHERE id > 0; DELETE FROM clinicsync_log; COMMIT;
            PRAGMA wal_checkpoint(TRUNCATE)
            """
        )
    }

    /// Copies the host's file and checks the copy; returns the seconds of both.
    private func copy(_ files: BenchFiles) throws -> (copy: Double, check: Double) {
        let (from, to) = (files.path("host/clinic.db"), files.path("copy.db"))
        let copy = try seconds { try FileManager.default.copyItem(atPath: from, toPath: to) }
        let check = try seconds {
            let connection = try ProgramConnection(path: to, synchronous: .normal)
            let result = try connection.texts("PRAGMA integrity_check")
            guard result == ["ok"] else { throw ClinicSyncError(.storage, "The copy of the host's file is damaged.") }
        }
        try FileManager.default.removeItem(atPath: to)
        return (copy, check)
    }

    /// Starts the host and a new node, waits until the new node shows every row, and has another node join.
    ///
    /// - Returns: What the first join took, and the delays of a program's rows at the first node before and during the second join.
    private func join(_ files: BenchFiles) throws -> (Watched, before: [Double], meanwhile: [Double]) {
        let host = try NodeProcess(running: files.path("host"))
        defer { host.stop() }
        try self.admit("joiner", files)
        var watched = Watched()
        var joiner: NodeProcess?
        defer { joiner?.stop() }
        watched.seconds = try seconds {
            let node = try NodeProcess(running: files.path("joiner"))
            joiner = node
            let connection = try ProgramConnection(path: node.database, synchronous: .normal)
            try JoinBenchmark.wait {
                watched.host = max(watched.host, try host.memory().resident)
                watched.joiner = max(watched.joiner, try node.memory().resident)
                return try connection.integer("SELECT EXISTS (SELECT 1 FROM patients)") == 1
            }
            guard try connection.integer("SELECT count(*) FROM patients") == self.rows else {
                throw ClinicSyncError(.storage, "The new node shows a part of the rows.")
            }
        }
        guard let joiner else { return (watched, [], []) }
        let probe = try VisibilityProbe(writing: joiner.database, observing: host.database)
        let interval = Duration.seconds(1) / JoinBenchmark.changesPerSecond
        let count = JoinBenchmark.changesPerSecond * JoinBenchmark.secondsBefore
        let before = try probe.latencies(of: PatientRows(count: count, batch: 5_000), every: interval)
        try self.admit("second", files)
        let second = try NodeProcess(running: files.path("second"))
        defer { second.stop() }
        let connection = try ProgramConnection(path: second.database, synchronous: .normal)
        let rows = PatientRows(
            count: Int(JoinBenchmark.patience.components.seconds) * JoinBenchmark.changesPerSecond,
            batch: 5_001
        )
        let meanwhile = try probe.latencies(of: rows, every: interval) {
            try connection.integer("SELECT EXISTS (SELECT 1 FROM patients)") == 1
        }
        return (watched, before, meanwhile)
    }

    /// Makes a member of this name, which does not run yet.
    private func admit(_ name: String, _ files: BenchFiles) throws {
        let folder = files.folder.path
        let code = try NodeProcess.output(of: ["invite", "--data", files.path("host")], in: folder)
        let member = ["--data", files.path(name), "--name", name]
        _ = try NodeProcess.output(of: ["join", code] + member, in: folder)
    }

    /// Looks every 20 ms until `condition` holds.
    private static func wait(until condition: () throws -> Bool) throws {
        let clock = ContinuousClock()
        let deadline = clock.now + self.patience
        while try !condition() {
            guard clock.now < deadline else { throw ClinicSyncError(.timeout, "The benchmark's clinic is too slow.") }
            usleep(20_000)
        }
    }
}
