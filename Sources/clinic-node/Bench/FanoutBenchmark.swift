import ClinicSync
import Foundation
import Glibc

/// Measures how soon a commit on one PC is in the files of all other PCs, for clinics of several sizes.
///
/// All nodes run on this machine, over mutual TLS. A program writes to a client's file, and another watches all other files. The
/// baseline is what no implementation can do without: a relay of the bytes to as many receivers, and the application of one row to
/// as many files.
struct FanoutBenchmark: Benchmark {
    static let name = "fanout"

    /// How many nodes the clinics have, ascending, three at least.
    var sizes: [Int]
    /// How many nodes share a process.
    var nodesPerProcess = 50
    /// Seconds of commits.
    var seconds: Int
    /// Seconds for which the clinic is watched at rest.
    var idleSeconds: Int

    private static let commitsPerSecond = 5
    /// Rows that are applied one by one for the baseline.
    private static let appliedRows = 200
    /// How long a commit may take to reach all files.
    private static let patience = Duration.seconds(30)
    /// Between two looks at the files, in microseconds.
    private static let pause: UInt32 = 50

    private static let title = "commit on a client to queryable in the files of all other nodes"

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let apply = try ApplyBenchmark(rows: FanoutBenchmark.appliedRows, rounds: 1).millisecondsOfOneRow(in: files)
        let clinic = try FanoutClinic(nodesPerProcess: self.nodesPerProcess, in: files)
        defer { clinic.stop() }
        let (first, alone) = (clinic.count, try clinic.host.memory().anonymous)
        var measurements: [Measurement] = []
        for size in self.sizes {
            try clinic.grow(to: size)
            measurements += try self.rest(clinic).map { $0.of(size, .nodes) }
            let grown = try clinic.host.memory().anonymous - alone
            measurements.append(
                Measurement(
                    "memory of the host for a connection",
                    unit: "kB",
                    samples: [grown * 1_000 / Double(size - first)],
                    goal: .valueAtMost(20)
                ).of(size, .nodes)
            )
            let relay = try LoopbackRelay(receivers: size - 1)
            let data = self.data(batch: size)
            let (times, relayed) = try self.commits(data, clinic, clinic.watches) { try relay.pass() }
            try relay.close()
            let baseline = relayed.map { $0 + Double(size - 1) * apply }
            measurements += FanoutBenchmark.delays(times, beside: baseline).map { $0.of(size, .nodes) }
            if size == self.sizes.last { measurements += try self.stopped(clinic, beside: times) }
        }
        let applied = Measurement("application of one row to one file", unit: "ms", samples: [apply])
        return measurements + [applied] + Growth.shapes(of: measurements)
    }

    private static func delays(_ times: [Double], beside baseline: [Double]) -> [Measurement] {
        [
            Measurement("\(self.title), median", unit: "ms", samples: times, beside: baseline, goal: .ratioAtMost(3)),
            Measurement(
                "\(self.title), p99",
                unit: "ms",
                quantile: 0.99,
                of: times,
                beside: baseline,
                goal: .valueAtMost(100)
            ),
        ]
    }

    /// The processor that an idle clinic needs.
    private func rest(_ clinic: FanoutClinic) throws -> [Measurement] {
        let clients = Double(clinic.count - 1)
        let shares = try NodeProcess.shares(atRestFor: self.idleSeconds) {
            [try clinic.host.processorSeconds(), try clinic.clientSeconds() / clients]
        }
        let figures = [("processor of the host at rest", 6), ("processor of a client at rest, mean", 0.15)]
        return zip(figures, shares).map { figure, share in
            Measurement(figure.0, unit: "% of a core", samples: [share], goal: .valueAtMost(figure.1))
        }
    }

    /// Commits while a client's process gets no time.
    private func stopped(_ clinic: FanoutClinic, beside before: [Double]) throws -> [Measurement] {
        let watches = clinic.watches.filter { $0.path != clinic.single.database }
        kill(clinic.single.processID, SIGSTOP)
        defer { kill(clinic.single.processID, SIGCONT) }
        let (times, _) = try self.commits(self.data(batch: 0), clinic, watches) { 0 }
        return [("median", 0.5), ("p99", 0.99)].map { name, quantile in
            Measurement(
                "\(FanoutBenchmark.title) but one that is stopped, beside none stopped, \(name)",
                unit: "ms",
                quantile: quantile,
                of: times,
                beside: before
            ).of(clinic.count, .nodes)
        }
    }

    // MARK: - Commits

    private func data(batch: Int) -> PatientRows {
        PatientRows(count: FanoutBenchmark.commitsPerSecond * self.seconds, batch: 400 + batch)
    }

    /// Commits all rows at the pace; milliseconds until each is in all files, and what `between` says after each.
    private func commits(
        _ data: PatientRows,
        _ clinic: FanoutClinic,
        _ watches: [FileWatch],
        between: () throws -> Double
    ) throws -> (times: [Double], between: [Double]) {
        let writer = try ProgramConnection(path: clinic.writer, synchronous: .full)
        let insert = try writer.prepare(PatientRows.insertSQL)
        let clock = ContinuousClock()
        let start = clock.now
        var (times, others): ([Double], [Double]) = ([], [])
        for row in 0..<data.count {
            let due = start + Duration.seconds(1) / FanoutBenchmark.commitsPerSecond * row
            while clock.now < due { usleep(FanoutBenchmark.pause) }
            // What was committed before is not the row.
            for watch in watches { _ = watch.hasChanged() }
            try data.insert(row..<row + 1, with: insert)
            times.append(
                try FanoutBenchmark.arrival(of: data.key(row), in: watches, from: clock.now) / .milliseconds(1)
            )
            others.append(try between())
        }
        return (times, others)
    }

    /// Waits until all files show the row.
    private static func arrival(
        of key: [UInt8],
        in watches: [FileWatch],
        from committed: ContinuousClock.Instant
    ) throws -> Duration {
        let clock = ContinuousClock()
        var waiting = watches
        var latest = committed
        while !waiting.isEmpty {
            guard clock.now - committed < FanoutBenchmark.patience else {
                throw ClinicSyncError(
                    .timeout,
                    "A row was not in \(waiting.count) of \(watches.count) files in time: give the machine less to do."
                )
            }
            // The moment before the reads: the rows that they show were visible then.
            let now = clock.now
            let hidden = try waiting.filter { watch in try !watch.hasChanged() || !watch.shows(key) }
            if hidden.count < waiting.count { latest = now }
            waiting = hidden
            usleep(FanoutBenchmark.pause)
        }
        return latest - committed
    }
}
