import ClinicSync
import Foundation
import Glibc

/// Measures how soon and how fast rows that are written on one PC become visible on another PC.
///
/// A host and two clients run as processes. A program writes to one client's file; another reads the other client's file.
struct PropagateBenchmark: Benchmark {
    static let name = "propagate"

    /// Rows of one import.
    var rows: Int
    /// Repetitions of each part.
    var rounds: Int
    /// Seconds of single changes in one round.
    var secondsPerRound: Int
    /// Seconds for which the idle nodes are watched.
    var idleSeconds: Int

    /// Changes a second in the first part.
    private static let changesPerSecond = 50

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let nodes = try NodeProcess.clinic(of: ["writer", "observer"], in: files)
        defer { for node in nodes.reversed() { node.stop() } }
        let changes = try self.changes(nodes: nodes, files: files)
        let idle = try self.idle(nodes)
        let imports = try self.imports(nodes: nodes, files: files)
        return changes + imports + idle + (try self.memoryAfter(nodes))
    }

    // MARK: - Single changes

    private func changes(nodes: [NodeProcess], files: BenchFiles) throws -> [Measurement] {
        let plain = try files.plain("changes.db")
        let reference = try VisibilityProbe(writing: plain, observing: plain)
        let throughHost = try VisibilityProbe(writing: nodes[1].database, observing: nodes[2].database)
        let fromHost = try VisibilityProbe(writing: nodes[0].database, observing: nodes[2].database)
        let count = PropagateBenchmark.changesPerSecond * self.secondsPerRound
        var baseline: [Double] = []
        var samples: [Double] = []
        var hostSamples: [Double] = []
        for round in 0..<self.rounds {
            let data = PatientRows(count: count, batch: 100 + round)
            let interval = Duration.seconds(1) / PropagateBenchmark.changesPerSecond
            baseline += try reference.latencies(of: data, every: interval)
            samples += try throughHost.latencies(of: data, every: interval)
            let hostData = PatientRows(count: count, batch: 300 + round)
            hostSamples += try fromHost.latencies(of: hostData, every: interval)
        }
        let clients = Measurement.delays(
            "commit on one client to visible on the other",
            samples,
            beside: baseline,
            medianAtMost: 1.5,
            percentile99AtMost: 6
        )
        let host = Measurement.delays(
            "commit on the host to visible on a client",
            hostSamples,
            beside: baseline,
            medianAtMost: 0.8,
            percentile99AtMost: 6
        )
        return clients + host
    }

    // MARK: - Imports

    private func imports(nodes: [NodeProcess], files: BenchFiles) throws -> [Measurement] {
        var plain: [Double] = []
        var visible: [Double] = []
        var whole: [Double] = []
        let probe = try VisibilityProbe(writing: nodes[1].database, observing: nodes[2].database)
        for round in 0..<self.rounds {
            let data = PatientRows(count: self.rows, batch: 200 + round)
            let path = try files.plain("import.db")
            let reference = try VisibilityProbe(writing: path, observing: path)
            plain.append(try reference.importing(data).whole)
            let took = try probe.importing(data)
            visible.append(took.visible)
            whole.append(took.whole)
            try self.settle(nodes, files: files)
        }
        func rates(_ times: [Double]) -> [Double] { times.map { Double(self.rows) / $0 } }
        return [
            Measurement(
                "import of \(self.rows) rows, from its commit to visible on the other client",
                unit: "rows/s",
                samples: rates(visible),
                beside: rates(plain),
                goal: .valueAtLeast(30_000)
            ),
            Measurement(
                "import of \(self.rows) rows, from its first row to visible on the other client",
                unit: "rows/s",
                samples: rates(whole),
                beside: rates(plain)
            ),
        ]
    }

    /// Waits until the host has everything, so that a round does not begin in the middle of the last one's work.
    private func settle(_ nodes: [NodeProcess], files: BenchFiles) throws {
        try NodeProcess.wait("The import did not come to rest.") {
            let text = try NodeProcess.output(
                of: ["status", "--data", files.path("host"), "--json"],
                in: files.folder.path
            )
            let lags = text.components(separatedBy: "\"lagBatches\":").dropFirst()
            return lags.allSatisfy { $0.prefix { $0.isNumber } == "0" }
        }
    }

    // MARK: - At rest

    private func idle(_ nodes: [NodeProcess]) throws -> [Measurement] {
        let shares = try NodeProcess.shares(atRestFor: self.idleSeconds) { try nodes.map { try $0.processorSeconds() } }
        let memory = try nodes.map { try $0.memory() }
        return [
            Measurement(
                "idle, processor, largest of three nodes",
                unit: "% of a core",
                quantile: 1,
                of: shares,
                goal: .valueAtMost(0.2)
            ),
            Measurement(
                "idle, resident memory, largest of three nodes",
                unit: "MB",
                quantile: 1,
                of: memory.map(\.resident),
                goal: .valueAtMost(40)
            ),
            Measurement(
                "idle, proportional memory, largest of three nodes",
                unit: "MB",
                quantile: 1,
                of: memory.map(\.proportional)
            ),
        ]
    }

    private func memoryAfter(_ nodes: [NodeProcess]) throws -> [Measurement] {
        [
            Measurement(
                "resident memory after the imports, largest of three nodes",
                unit: "MB",
                quantile: 1,
                of: try nodes.map { try $0.memory().resident }
            )
        ]
    }
}
