import ClinicSync
import Foundation
import GRDBSQLite
import Glibc

/// What `bench` measures and reports under one name.
protocol Benchmark {
    /// The name, as the command has it.
    static var name: String { get }

    /// Measures in `files`, which are the benchmark's own.
    func run(in files: BenchFiles) throws -> [Measurement]
}

/// The outcome of a benchmark and a description of the machine.
struct BenchReport: Encodable {
    /// The machine on which the figures were taken.
    struct Machine: Encodable {
        /// Processors the program may use.
        var cores: Int
        /// Processes that wanted to run in the minute before the benchmark began.
        var loadBefore: Double
        /// The same after it ended; the benchmark's own work is in it.
        var loadAfter: Double
        /// The version of SQLite.
        var sqlite: String
        /// The operating system.
        var system: String
    }

    /// The name of the benchmark, as the command has it.
    var benchmark: String
    /// `release` or `debug`.
    var build: String
    /// The machine on which the figures were taken.
    var machine: Machine
    /// The figures.
    var measurements: [Measurement]

    /// Runs a benchmark in files of its own and describes the machine.
    init(of benchmark: some Benchmark) throws {
        let before = BenchReport.load
        self.measurements = try BenchFiles.with { try benchmark.run(in: $0) }
        self.benchmark = type(of: benchmark).name
        self.build = BenchReport.isDebugBuild ? "debug" : "release"
        self.machine = Machine(
            cores: ProcessInfo.processInfo.activeProcessorCount,
            loadBefore: before,
            loadAfter: BenchReport.load,
            sqlite: String(cString: sqlite3_libversion()),
            system: ProcessInfo.processInfo.operatingSystemVersionString
        )
    }

    /// Warns when the program was built without optimisation, so that its figures say nothing.
    static func warnOfDebugBuild() {
        guard self.isDebugBuild else { return }
        Output.report("Warning: this is a debug build: take figures from 'swift build -c release'.")
    }

    private static var isDebugBuild: Bool {
        #if DEBUG
            true
        #else
            false
        #endif
    }

    private static var load: Double {
        var load = 0.0
        return getloadavg(&load, 1) == 1 ? load.rounded(places: 2) : 0
    }

    /// Prints the report as a table.
    func write() throws {
        let style = Style.standardOutput
        var table = TextTable([
            ("MEASUREMENT", .left), ("VALUE", .right), ("BASELINE", .right), ("RATIO", .right), ("SPREAD", .right),
            ("UNIT", .left), ("TARGET", .left), ("", .left),
        ])
        for entry in self.measurements {
            table.add([
                entry.title, BenchReport.text(entry.value), entry.baseline.map(BenchReport.text) ?? "-",
                entry.ratio.map { "×\(BenchReport.text($0))" } ?? "-", BenchReport.spread(of: entry.samples),
                entry.unit,
                BenchReport.target(of: entry), entry.met.map { $0 ? "met" : "MISSED" } ?? "",
            ])
        }
        for line in table.lines(indent: 0, style: style) { try Output.line(line) }
        let machine = self.machine
        try Output.line("")
        try Output.line(
            style.dim(
                "\(self.build) build, \(machine.cores) cores, load \(machine.loadBefore) before and \(machine.loadAfter) "
                    + "after, SQLite \(machine.sqlite), \(machine.system)"
            )
        )
    }

    private static func target(of entry: Measurement) -> String {
        guard let target = entry.target else { return "" }
        let number = self.text(target)
        switch entry.targetKind {
        case "ratioAtMost": return "at most ×\(number)"
        case "ratioAtLeast": return "at least ×\(number)"
        case "valueAtMost": return "at most \(number)"
        default: return "at least \(number)"
        }
    }

    private static func spread(of samples: [Double]) -> String {
        guard samples.count > 1, let least = samples.min(), let most = samples.max() else { return "-" }
        return "\(self.text(least)) … \(self.text(most))"
    }

    /// Three significant places or so, digits grouped in threes.
    static func text(_ number: Double) -> String {
        let magnitude = abs(number)
        guard magnitude >= 100 else {
            return String(number.rounded(places: magnitude >= 10 ? 1 : 2))
        }
        var digits = String(Int(number.rounded()))
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits.removeLast(3)
        }
        return ([digits] + groups).joined(separator: " ")
    }
}
