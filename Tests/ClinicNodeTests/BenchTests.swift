import Foundation
import Testing

/// The benchmarks on few rows: whether a target is reached means nothing then.
///
/// What must hold is that the figures follow from their samples, lie in wide bounds that no machine leaves, and tell of the
/// work that was asked for.
@Suite(.timeLimit(.minutes(3))) struct BenchTests {
    private static let rows = 300
    private static let few = ["--rows", "\(BenchTests.rows)", "--rounds", "2"]
    /// For benchmarks whose rounds take seconds.
    private static let oneRound = ["--rows", "\(BenchTests.rows)", "--rounds", "1"]
    /// A row of the benchmarks' patients in a file takes so many megabytes at least, and with all that the node keeps at most.
    private static let rowMegabytes = 0.000_1...0.01

    /// Checks what a figure is compared with, and that its ratio is within reason.
    private func check(
        _ figure: BenchFigure,
        samples: Int,
        target: Double? = nil,
        kind: String? = nil,
        ratio: ClosedRange<Double>
    ) throws {
        #expect(figure.samples.count == samples, "\(figure.name)")
        #expect(figure.baselineSamples.count == samples, "\(figure.name)")
        #expect(figure.target == target && figure.targetKind == kind, "\(figure.name)")
        #expect(ratio.contains(try #require(figure.ratio)), "\(figure.name): \(figure.ratio ?? 0)")
    }

    @Test("capture compares inserts with triggers with inserts without, one by one and in bulk")
    func capture() async throws {
        let outcome = try await BenchOutcome(["capture"] + BenchTests.few)
        try #require(outcome.figures.count == 6)
        for figure in outcome.figures { figure.checkItself(quantile: 0.5) }
        // Triggers cost something, and not a hundred times the insert.
        for level in ["NORMAL", "FULL"] {
            let single = try outcome.figure("insert, autocommit, synchronous \(level)")
            try self.check(single, samples: 12, target: 1.25, kind: "ratioAtMost", ratio: 0.2...20)
            #expect(single.unit == "µs")
        }
        // So few rows take two milliseconds: one lost time slice of the insert without triggers is several times that.
        let bulk = try outcome.figure("insert, \(BenchTests.rows) rows in one transaction")
        try self.check(bulk, samples: 2, target: 1.8, kind: "ratioAtMost", ratio: 0.05...50)
        let collect = try outcome.figure("collect, against the plain insert")
        try self.check(collect, samples: 2, ratio: 0.0005...5)
        // What was inserted is in the files, and what capture keeps of it beside it.
        let withLog = try outcome.figure("file, log included")
        let pruned = try outcome.figure("file, log pruned")
        try self.check(withLog, samples: 2, ratio: 1...20)
        try self.check(pruned, samples: 2, target: 1.4, kind: "ratioAtMost", ratio: 1...20)
        let sizes = zip(withLog.samples, zip(pruned.samples, pruned.baselineSamples))
        #expect(sizes.allSatisfy { $0 > $1.0 && $1.0 > $1.1 }, "the log and the node's tables take room")
        for size in [pruned.value, pruned.baseline ?? 0] {
            #expect(BenchTests.rowMegabytes.contains(size / Double(BenchTests.rows)), "\(size) MB")
        }
        #expect(withLog.baselineSamples == pruned.baselineSamples)
    }

    @Test("apply compares batches with plain inserts")
    func apply() async throws {
        // Each row is a transaction in several of the parts.
        let rows = 100
        let outcome = try await BenchOutcome(["apply", "--rows", "\(rows)", "--rounds", "2"])
        try #require(outcome.figures.count == 10)
        for figure in outcome.figures { figure.checkItself(quantile: 0.5) }
        let large = outcome.figures[0]
        #expect(large.name == "apply, \(rows) rows in one batch")
        try self.check(large, samples: 2, target: 0.4, kind: "ratioAtLeast", ratio: 0.0005...5)
        // The same times beside another baseline.
        let sessions = try outcome.figure("\(large.name), beside the session extension's apply")
        try self.check(sessions, samples: 2, ratio: 0.0005...5)
        #expect(sessions.samples == large.samples && sessions.baselineSamples != large.baselineSamples)
        let small = try outcome.figure("apply, batches of one row, a transaction each")
        try self.check(small, samples: 2, ratio: 0.0005...5)
        // A transaction costs more than a row: batches of one row are the slower way, on both sides.
        #expect(small.value < large.value)
        #expect(try #require(small.baseline) < #require(large.baseline))
        for what in ["one batch", "batches of one"] {
            let active = try outcome.figure("apply, \(rows) changes in \(what), second layer active")
            try self.check(active, samples: 2, target: 1.15, kind: "ratioAtMost", ratio: 0.1...10)
            let conflicting = try outcome.figure(
                "apply, \(rows) changes in \(what), 25 % of them in conflict"
            )
            try self.check(conflicting, samples: 2, ratio: 0.2...50)
            #expect(conflicting.baselineSamples == active.baselineSamples)
        }
        for what in ["collect", "apply"] {
            let rename = try outcome.figure("rename of \(rows) merged rows, \(what)")
            try self.check(rename, samples: 2, target: 1.5, kind: "ratioAtMost", ratio: 0.1...10)
        }
        let lock = try outcome.figure("rename of \(rows) merged rows, longest lock")
        #expect(lock.target == 50 && lock.targetKind == "valueAtMost" && lock.samples.count == 2)
    }

    @Test("size compares a clinic's file with the same rows in plain tables, and says what the node's tables take")
    func size() async throws {
        let outcome = try await BenchOutcome(["size", "--rows", "3000"])
        let found = outcome.figures
        try #require(found.count > 2)
        for figure in found { figure.checkItself(quantile: 0.5) }
        try self.check(found[0], samples: 1, ratio: 1...10)
        try self.check(found[1], samples: 1, target: 1.35, kind: "ratioAtMost", ratio: 1...4)
        #expect(found[0].value > found[1].value && found[0].baseline == found[1].baseline)
        #expect(found[2].name == "clinicsync_row, log pruned")
        let rows = try #require(found[1].name.split(separator: " ").compactMap { Int($0) }.first)
        #expect((1_500...6_000).contains(rows), "\(found[1].name)")
        #expect(BenchTests.rowMegabytes.contains(found[1].value / Double(rows)))
        // The parts are what the file has beyond the plain one, and the largest comes first.
        let parts = found[2...].map(\.value)
        #expect(parts == parts.sorted(by: >))
        #expect(try parts.reduce(0, +) < found[1].value - #require(found[1].baseline) * 0.5)
    }

    @Test("propagate runs three nodes and sees every change on the far side")
    func propagate() async throws {
        let outcome = try await BenchOutcome(
            ["propagate"] + BenchTests.oneRound + ["--seconds", "1", "--idle-seconds", "1"]
        )
        let found = outcome.figures
        try #require(found.count == 12)
        for (figure, quantile) in zip(found, [0.5, 0.99, 1, 0.5, 0.99, 1, 0.5, 0.5, 1, 1, 1, 1]) {
            figure.checkItself(quantile: quantile, least: figure.name.hasPrefix("idle, processor") ? 0 : 0.000_1)
        }
        // A round of a second with fifty changes, every one of which arrived.
        for (place, target) in [(0, 1.5), (3, 0.8)] {
            let part = found[place..<place + 3]
            #expect(part.allSatisfy { $0.samples == found[place].samples && $0.samples.count == 50 })
            #expect(zip(part, part.dropFirst()).allSatisfy { $0.value <= $1.value })
            try self.check(found[place], samples: 50, target: target, kind: "valueAtMost", ratio: 0.5...100_000)
        }
        #expect(found[3].samples != found[0].samples)
        try self.check(found[6], samples: 1, target: 30_000, kind: "valueAtLeast", ratio: 0.000_05...2)
        // From the first row takes longer than from the commit.
        try self.check(found[7], samples: 1, ratio: 0.000_05...2)
        #expect(zip(found[6].samples, found[7].samples).allSatisfy { $0 > $1 })
        #expect(found[8].name.hasPrefix("idle, processor") && (0...200).contains(found[8].value))
        for memory in found[9...] {
            #expect(memory.unit == "MB" && (2...2_000).contains(memory.value), "\(memory.name): \(memory.value)")
        }
        #expect(found[8...].allSatisfy { $0.samples.count == 3 && $0.baseline == nil })
        #expect(found[10].value <= found[9].value, "what is shared counts less")
    }

    @Test("events runs three nodes and hears of every change at the far side's WebSocket")
    func events() async throws {
        let outcome = try await BenchOutcome(["events"] + BenchTests.oneRound + ["--seconds", "1"])
        let found = outcome.figures
        try #require(found.count == 3)
        for (figure, quantile) in zip(found, [0.5, 0.99, 1]) { figure.checkItself(quantile: quantile) }
        for (figure, target) in zip(found, [2.0, 30.0, nil]) {
            #expect(figure.samples == found[0].samples && figure.samples.count == 50)
            #expect(figure.target == target)
            // Every tenth change, what two hops cost without a node between them.
            #expect(figure.baselineSamples.count == 5)
            #expect(try #require(figure.ratio) > 0.2)
        }
        #expect(found[0].value <= found[1].value && found[1].value <= found[2].value)
    }

    @Test("fanout sees each commit in the files of all other nodes, also while one of them is stopped")
    func fanout() async throws {
        let outcome = try await BenchOutcome(["fanout", "--nodes", "3", "--seconds", "1", "--idle-seconds", "1"])
        try #require(outcome.figures.count == 8)
        for figure in outcome.figures {
            let least = figure.name.hasPrefix("application") ? Double.leastNonzeroMagnitude : 0
            if !figure.name.hasPrefix("memory") {
                figure.checkItself(quantile: figure.name.hasSuffix("p99") ? 0.99 : 0.5, least: least)
            }
            #expect(figure.size == (figure.name.hasPrefix("application") ? nil : 3))
            #expect(figure.sizeUnit == (figure.size == nil ? nil : "nodes"))
        }
        let title = "commit on a client to queryable in the files of all other nodes"
        let (median, last) = (try outcome.figure("\(title), median"), try outcome.figure("\(title), p99"))
        try self.check(median, samples: 5, target: 3, kind: "ratioAtMost", ratio: 0.1...100_000)
        #expect(median.samples == last.samples && last.target == 100 && median.value <= last.value)
        let stopped = try outcome.figure("\(title) but one that is stopped, beside none stopped, median")
        #expect(stopped.samples.count == 5 && stopped.baselineSamples == median.samples)
        // A node is applied to without which nothing would arrive.
        let application = try outcome.figure("application of one row to one file")
        #expect(median.baselineSamples.allSatisfy { $0 > 2 * application.value })
    }

    @Test("growth measures each size, and its exponents lie between the steps of the largest sizes")
    func growth() async throws {
        let outcome = try await BenchOutcome(["growth", "--rows", "1000", "--rounds", "1"])
        let (shapes, figures) = (
            outcome.figures.filter { $0.unit == "power" }, outcome.figures.filter { $0.unit != "power" }
        )
        for figure in figures { figure.checkItself(quantile: 0.5) }
        func sizes(_ unit: String) -> Set<Int> { Set(figures.filter { $0.sizeUnit == unit }.compactMap(\.size)) }
        #expect(sizes("rows") == [1_000] && sizes("writers") == [1, 2, 4, 8])
        #expect(sizes("rows a transaction") == [1, 10, 100, 1_000])
        // A table of one size has no shape.
        try #require(shapes.count == 2)
        for shape in shapes {
            let name = try #require(shape.name.components(separatedBy: ": exponent of growth with ").first)
            let points = figures.filter { $0.name == name }.map { (log(Double($0.size ?? 0)), log($0.value)) }
            let slopes = zip(points, points.dropFirst()).suffix(2).map { ($1.1 - $0.1) / ($1.0 - $0.0) }
            #expect(try #require(slopes.min()) <= shape.value + 0.001 && shape.value <= #require(slopes.max()) + 0.001)
            #expect(shape.target == 1.15 && shape.met == (shape.value <= 1.15))
        }
    }

    @Test("a benchmark with impossible numbers is refused before anything is made")
    func usage() async throws {
        let binary = try Binary()
        for arguments in [["capture", "--rows", "0"], ["apply", "--rounds", "101"], ["propagate", "--seconds", "0"]] {
            #expect(try await binary.run(["bench"] + arguments).status == 64)
        }
        try binary.clean()
    }

    @Test("failover kills and stops the host of four processes, and the others go on")
    func failover() async throws {
        let outcome = try await BenchOutcome(["failover", "--rounds", "1"])
        let found = outcome.figures
        #expect(found.map(\.target) == [2_000, 3_000, 500, nil])
        for (figure, quantile) in zip(found, [0.5, 1, 0.5, 1]) { figure.checkItself(quantile: quantile) }
        #expect(found.allSatisfy { $0.samples.count == 1 && $0.baselineSamples.count == 2 })
        // A clinic with a host exchanges in a moment; without one it must find another first.
        #expect(found[0].value > found[0].baseline ?? .infinity, "a kill is noticed")
        #expect(found.allSatisfy { $0.value < 60_000 })
    }
}
