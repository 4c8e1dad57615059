import ClinicSync
import Foundation
import Glibc

/// Measures how fast an import on the host is in a client's file, in turns with PostgreSQL's logical replication of the same rows.
///
/// Both wait for the disk at each commit, and both send a transaction when it is committed. The nodes encrypt; PostgreSQL uses a
/// local socket.
struct PostgresBenchmark: Benchmark {
    static let name = "postgres"

    /// Rows of one import.
    var rows: Int
    /// How often each import is repeated.
    var rounds: Int

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        guard let programs = PostgresPair.programs() else {
            Output.report("Skipped: PostgreSQL is not installed ('apt-get install postgresql').")
            return []
        }
        let pair = try PostgresPair(programs: programs)
        defer { pair.stop() }
        let nodes = try NodeProcess.clinic(of: ["client"], in: files)
        defer { for node in nodes.reversed() { node.stop() } }
        let probe = try VisibilityProbe(writing: nodes[0].database, observing: nodes[1].database)
        var (times, others): ([Double], [Double]) = ([], [])
        for round in 0..<self.rounds {
            let data = PatientRows(count: self.rows, batch: 800 + round)
            others.append(try pair.importing(data))
            times.append(try probe.importing(data).visible)
        }
        func rates(_ times: [Double]) -> [Double] { times.map { Double(self.rows) / $0 } }
        return [
            Measurement(
                "import of \(self.rows) rows on the host, from its commit to visible on a client, beside PostgreSQL",
                unit: "rows/s",
                samples: rates(times),
                beside: rates(others),
                goal: .ratioAtLeast(1)
            )
        ]
    }
}
