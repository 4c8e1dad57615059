import Foundation
import Testing

/// `.ci/bench` makes the figures of BENCHMARKS.md; this checks what it writes, without measuring anything.
@Suite("The figures in BENCHMARKS") struct BenchDocumentTests {
    @Test("are what the last run of .ci/bench gave")
    func current() throws {
        let outcome = try Self.bench(["--check"])
        #expect(outcome.status == 0, "\(outcome.text)")
    }

    @Test("are tables, plots and exponents of growth, and another figure is noticed")
    func written() throws {
        let docs = FileManager.default.temporaryDirectory.appending(path: "bench-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: docs) }
        try FileManager.default.createDirectory(
            at: docs.appending(path: "benchmarks"),
            withIntermediateDirectories: true
        )
        let page = docs.appending(path: "BENCHMARKS.md")
        let real = try String(contentsOf: SourceFile.root.appending(path: "docs/BENCHMARKS.md"), encoding: .utf8)
        try Data(real.utf8).write(to: page)
        let figures = docs.appending(path: "benchmarks/figures.json")
        try Data(Self.figures(largest: "12.5").utf8).write(to: figures)
        #expect(try Self.bench(["--draw", "--docs", docs.path]).status == 0)
        let text = try String(contentsOf: page, encoding: .utf8)
        let name = "processor of the host at rest"
        #expect(text.contains("| \(name), 3 nodes | 0.5 % of a core |  |  |  | at most 6 | met |"))
        #expect(text.contains("| \(name), 200 nodes | 12.5 % of a core |  |  |  | at most 6 | **missed** |"))
        #expect(text.contains("| \(name), with nodes | 0.9 | met |"))
        #expect(text.contains("`bench join` failed: too slow"))
        #expect(text.contains("](benchmarks/processor-nodes.svg)") && !text.contains("cost-rows.svg"))
        let plot = try String(contentsOf: docs.appending(path: "benchmarks/processor-nodes.svg"), encoding: .utf8)
        #expect(
            plot.components(separatedBy: "<polyline").count == 2 && plot.components(separatedBy: "<circle").count == 3
        )
        // What stands around the figures stays.
        #expect(text.hasPrefix("# Benchmarks") && text.hasSuffix(real.suffix(200)))
        #expect(try Self.bench(["--check", "--docs", docs.path]).status == 0)
        try Data(Self.figures(largest: "12.6").utf8).write(to: figures)
        #expect(try Self.bench(["--check", "--docs", docs.path]).status != 0)
    }

    /// Figures of two sizes, as a run leaves them.
    private static func figures(largest: String) -> String {
        func figure(_ size: Int, _ value: String, met: Bool) -> String {
            """
            {"name": "processor of the host at rest", "unit": "% of a core", "value": \(value), "baseline": null, "ratio": null,
            "target": 6, "targetKind": "valueAtMost", "met": \(met), "size": \(size), "sizeUnit": "nodes", "least": \(value),
            "most": \(value), "count": 1}
            """
        }
        return """
            {"suite": {"options": [], "failures": [{"benchmark": "join", "reason": "too slow"}]}, "reports": [{"report":
            {"benchmark": "fanout", "build": "release", "machine": {"cores": 2, "loadBefore": 0.1, "loadAfter": 1.5,
            "sqlite": "3.40.1", "system": "Debian"}}, "measurements": [\(figure(3, "0.5", met: true)),
            \(figure(200, largest, met: false)),
            {"name": "processor of the host at rest: exponent of growth with nodes", "unit": "power", "value": 0.9,
            "baseline": null, "ratio": null, "target": 1.15, "targetKind": "valueAtMost", "met": true, "size": null,
            "sizeUnit": null, "least": 0.9, "most": 0.9, "count": 1}]}]}
            """
    }

    private static func bench(_ arguments: [String]) throws -> (status: Int32, text: String) {
        let process = Process()
        process.executableURL = SourceFile.root.appending(path: ".ci/bench")
        process.arguments = arguments
        let output = Pipe()
        process.standardError = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }
}
