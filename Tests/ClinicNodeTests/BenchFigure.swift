import Foundation
import Testing

/// One figure of a benchmark's report, and what must be true of any of them.
struct BenchFigure: Decodable {
    let name: String
    let unit: String
    let value: Double
    let baseline: Double?
    let ratio: Double?
    let target: Double?
    let targetKind: String?
    let met: Bool?
    let size: Int?
    let sizeUnit: String?
    let samples: [Double]
    let baselineSamples: [Double]

    /// The keys of a figure, all of which are written, also those without a value.
    static let keys: Set = [
        "name", "unit", "value", "baseline", "ratio", "target", "targetKind", "met", "size", "sizeUnit", "samples",
        "baselineSamples",
    ]

    /// What the report rounds to, with something to spare: four decimal places.
    private static let rounding = 0.000_2

    /// Checks the figure against itself: its value, its ratio and its verdict follow from its samples.
    ///
    /// - Parameters:
    ///   - quantile: which quantile of the samples the value is.
    ///   - least: what no sample is below; idle nodes may use less processor time than the system counts.
    func checkItself(quantile: Double, least: Double = .leastNonzeroMagnitude) {
        #expect(!self.samples.isEmpty, "\(self.name)")
        for sample in self.samples { #expect(sample.isFinite && sample >= least, "\(self.name): \(self.samples)") }
        for sample in self.baselineSamples { #expect(sample.isFinite && sample > 0, "\(self.name)") }
        self.expect(self.value, is: BenchFigure.quantile(quantile, of: self.samples), "value")
        #expect((self.baseline == nil) == self.baselineSamples.isEmpty, "\(self.name)")
        if let baseline = self.baseline {
            self.expect(baseline, is: BenchFigure.quantile(quantile, of: self.baselineSamples), "baseline")
            self.checkRatio(quantile: quantile, to: baseline)
        } else {
            #expect(self.ratio == nil, "\(self.name) is compared with nothing")
        }
        switch self.targetKind {
        case nil: #expect(self.target == nil && self.met == nil, "\(self.name)")
        case "ratioAtMost": self.checkVerdict(self.ratio) { $0 <= $1 }
        case "ratioAtLeast": self.checkVerdict(self.ratio) { $0 >= $1 }
        case "valueAtMost": self.checkVerdict(self.value) { $0 <= $1 }
        case "valueAtLeast": self.checkVerdict(self.value) { $0 >= $1 }
        default: Issue.record("\(self.name): \(String(describing: self.targetKind)) is no kind of target")
        }
    }

    /// The ratio is that of the values, or the median of those of samples taken in turns.
    private func checkRatio(quantile: Double, to baseline: Double) {
        guard let ratio = self.ratio else {
            Issue.record("\(self.name) has a baseline and no ratio")
            return
        }
        #expect(ratio > 0, "\(self.name)")
        // What was rounded to so few places that nothing is left of it says nothing of the ratio.
        let smallest = min(self.samples.min() ?? 0, self.baselineSamples.min() ?? 0)
        guard smallest > BenchFigure.rounding * 100 else { return }
        var expected = [self.value / baseline]
        if self.samples.count == self.baselineSamples.count {
            expected.append(BenchFigure.quantile(0.5, of: zip(self.samples, self.baselineSamples).map { $0 / $1 }))
        }
        #expect(expected.contains { abs($0 - ratio) <= 0.03 * $0 }, "\(self.name): \(ratio) is none of \(expected)")
    }

    private func checkVerdict(_ figure: Double?, _ isReached: (Double, Double) -> Bool) {
        guard let figure, let target = self.target else {
            Issue.record("\(self.name) has a target and nothing to compare with it")
            return
        }
        // Next to the target the rounded figure may lie on the other side of it.
        guard abs(figure - target) > BenchFigure.rounding else { return }
        #expect(self.met == isReached(figure, target), "\(self.name)")
    }

    private func expect(_ value: Double, is expected: Double, _ what: String) {
        #expect(abs(value - expected) <= BenchFigure.rounding, "\(self.name): the \(what) is not that of its samples")
    }

    /// The smallest element that a share of `quantile` of all does not exceed.
    private static func quantile(_ quantile: Double, of samples: [Double]) -> Double {
        let index = Int((Double(samples.count) * quantile).rounded(.up)) - 1
        return samples.sorted()[min(max(index, 0), samples.count - 1)]
    }
}

/// A benchmark's report on JSON.
struct BenchOutcome {
    let benchmark: String
    let figures: [BenchFigure]

    /// Runs a benchmark on few rows; it must clean up what it made.
    ///
    /// Its files are in memory where that is possible: thousands of its commits wait for the disk.
    init(_ arguments: [String]) async throws {
        let binary = try Binary()
        let memory = URL(fileURLWithPath: "/dev/shm")
        let place = FileManager.default.isWritableFile(atPath: memory.path) ? memory : binary.folder
        let temporary = place.appendingPathComponent(binary.folder.lastPathComponent + "-bench")
        try FileManager.default.createDirectory(at: temporary, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: temporary) }
        let own = binary.with(["TMPDIR": temporary.path])
        let outcome = try await own.run(["bench"] + arguments + ["--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: temporary.path).isEmpty)
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        )
        #expect(Set(report.keys) == ["benchmark", "build", "machine", "measurements"])
        self.benchmark = try #require(report["benchmark"] as? String)
        #expect(self.benchmark == arguments.first)
        let entries = try #require(report["measurements"] as? [[String: Any]])
        for entry in entries { #expect(Set(entry.keys) == BenchFigure.keys) }
        let data = try JSONSerialization.data(withJSONObject: entries)
        self.figures = try JSONDecoder().decode([BenchFigure].self, from: data)
        try binary.clean()
    }

    /// The one figure whose name begins so.
    func figure(_ prefix: String) throws -> BenchFigure {
        let found = self.figures.filter { $0.name.hasPrefix(prefix) }
        try #require(found.count == 1, "\(prefix) among \(self.figures.map(\.name))")
        return found[0]
    }
}
