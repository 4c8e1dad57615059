import ClinicSync
import Foundation

/// All benchmarks, for one document.
struct BenchSuite: Encodable {
    /// How much is measured.
    struct Extent {
        /// Rows of the largest table.
        var rows: Int
        /// Nodes of the largest clinic.
        var nodes: Int
        /// How often measurements are repeated.
        var rounds: Int
        /// Seconds of changes, and of rest, of each part.
        var seconds: Int
    }

    /// A benchmark that could not be run to its end.
    struct Failure: Encodable {
        /// Its name.
        var benchmark: String
        /// Why, as one sentence.
        var reason: String
    }

    /// The name, as the command has it.
    var benchmark = "all"
    /// What was measured, in the order in which it ran.
    var reports: [BenchReport] = []
    /// What could not be measured.
    var failures: [Failure] = []

    /// Rows of an import and of a bulk insert; more rows say no more.
    private static let importMax = 200_000
    /// Nodes of clinics of which each is measured.
    private static let clinics = [3, 10, 20, 50, 100, 200]

    /// Runs all benchmarks one after the other.
    init(_ extent: Extent) {
        let rows = min(extent.rows, BenchSuite.importMax)
        let clinics = BenchSuite.clinics.filter { $0 <= extent.nodes }
        self.run(CaptureBenchmark(rows: rows, rounds: extent.rounds))
        self.run(ApplyBenchmark(rows: rows, rounds: extent.rounds))
        self.run(GrowthBenchmark(rows: extent.rows, rounds: extent.rounds))
        self.run(SizeBenchmark(rows: rows))
        self.run(ReconcileBenchmark(rows: max(extent.rows, 1_000)))
        self.run(PruneBenchmark(changes: max(rows / 40, 100), days: 30))
        self.run(
            PropagateBenchmark(
                rows: rows,
                rounds: extent.rounds,
                secondsPerRound: extent.seconds,
                idleSeconds: extent.seconds
            )
        )
        self.run(EventsBenchmark(rounds: extent.rounds, secondsPerRound: extent.seconds))
        self.run(SessionsBenchmark(logins: max(extent.rounds * extent.seconds, 2)))
        self.run(FailoverBenchmark(rounds: extent.rounds))
        self.run(JoinBenchmark(rows: extent.rows))
        self.run(PostgresBenchmark(rows: rows, rounds: extent.rounds))
        self.run(
            FanoutBenchmark(
                sizes: clinics.isEmpty ? [extent.nodes] : clinics,
                seconds: extent.seconds,
                idleSeconds: extent.seconds
            )
        )
    }

    private mutating func run(_ benchmark: some Benchmark) {
        let name = type(of: benchmark).name
        Output.report("bench \(name)")
        do {
            self.reports.append(try BenchReport(of: benchmark))
        } catch {
            // The other benchmarks' figures are worth having.
            let reason = (error as? ClinicSyncError)?.message ?? "\(error)"
            Output.report("bench \(name) failed: \(reason)")
            self.failures.append(Failure(benchmark: name, reason: reason))
        }
    }

    /// Prints the reports as tables.
    func write() throws {
        for report in self.reports {
            try Output.line(Style.standardOutput.bold("bench \(report.benchmark)"))
            try report.write()
            try Output.line("")
        }
    }
}
