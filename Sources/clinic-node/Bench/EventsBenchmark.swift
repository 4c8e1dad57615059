import ClinicSync
import Foundation
import Glibc

/// Measures how soon a program on one PC receives the event of a change on another PC.
///
/// A host and two clients run as processes. A program writes to one client's file; a WebSocket is open at the other client.
struct EventsBenchmark: Benchmark {
    static let name = "events"

    /// Repetitions.
    var rounds: Int
    /// Seconds of changes in one round.
    var secondsPerRound: Int

    /// Changes a second.
    private static let changesPerSecond = 50

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let nodes = try NodeProcess.clinic(of: ["writer", "observer"], in: files)
        defer { for node in nodes.reversed() { node.stop() } }
        let relay = try LoopbackRelay(receivers: 1)
        let receiver = try EventReceiver(directory: files.path("observer"), filter: #""tables":["patients"]"#)
        defer { receiver.stop() }
        let writer = try ProgramConnection(path: nodes[1].database, synchronous: .full)
        let insert = try writer.prepare(PatientRows.insertSQL)
        var samples: [Double] = []
        var baseline: [Double] = []
        for round in 0..<self.rounds {
            let data = PatientRows(count: EventsBenchmark.changesPerSecond * self.secondsPerRound, batch: 300 + round)
            var committed: [ContinuousClock.Instant] = []
            let clock = ContinuousClock()
            let start = clock.now
            for row in 0..<data.count {
                let due = start + Duration.seconds(1) / EventsBenchmark.changesPerSecond * row
                while clock.now < due { usleep(100) }
                try data.insert(row..<row + 1, with: insert)
                committed.append(clock.now)
                // In the pause that every change has behind it; the change's own way takes a part of it.
                if row.isMultiple(of: 10) { baseline.append(try relay.pass()) }
            }
            for (row, instant) in committed.enumerated() {
                let key = String(decoding: data.key(row), as: UTF8.self)
                samples.append((try receiver.wait(for: key) - instant) / .milliseconds(1))
            }
        }
        try relay.close()
        return Measurement.delays(
            "commit on one client to event at a WebSocket of the other",
            samples,
            beside: baseline,
            medianAtMost: 2,
            percentile99AtMost: 30
        )
    }
}
