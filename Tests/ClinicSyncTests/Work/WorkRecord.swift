import Foundation
import GRDBSQLite

/// The recorded counts of ``Work``, a text file beside this one: a count, its unit and the work on each line.
struct WorkRecord {
    /// A count that is not as recorded.
    struct Difference: Equatable, CustomStringConvertible {
        /// The unit and the work.
        var name: String
        /// The count in the file; `nil` when the file does not have it.
        var recorded: Int?
        /// The count of this run; `nil` when the work is not done any more.
        var measured: Int?

        var description: String {
            let recorded = self.recorded.map { "\($0)" } ?? "no"
            let measured = self.measured.map { "\($0)" } ?? "no"
            return """
                \(self.name): \(recorded) recorded, \(measured) measured. If the change is intended, record the counts again: \
                CLINICSYNC_UPDATE_SNAPSHOTS=1 swift test --filter WorkTests
                """
        }
    }

    private static let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "work.txt")
    private static let heading = """
        # What the node's work costs, counted. WorkTests compares with these counts and writes them (docs/DEVELOPING.md).
        # Recorded with SQLite \(String(cString: sqlite3_libversion())), without optimisation.

        """

    /// The counts by unit and work, in the order of the file.
    private(set) var counts: [(name: String, count: Int)] = []

    /// The counts of this run.
    init(_ work: [Work]) {
        for entry in work {
            for unit in Work.Unit.allCases {
                guard let count = entry.counts[unit] else { continue }
                self.counts.append(("\(unit.rawValue): \(entry.name)", count))
            }
        }
    }

    /// The recorded counts.
    static func recorded() throws -> WorkRecord {
        var record = WorkRecord([])
        for line in try String(contentsOf: self.file, encoding: .utf8).split(separator: "\n") where line.first != "#" {
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, let count = Int(parts[0]) else { continue }
            record.counts.append((String(parts[1]), count))
        }
        return record
    }

    /// Records the counts.
    func write() throws {
        let lines = self.counts.map { "\($0.count) \($0.name)\n" }.joined()
        try Data((WorkRecord.heading + lines).utf8).write(to: WorkRecord.file)
    }

    /// The counts of `measured` that are larger than the recorded ones by more than their unit's tolerance, and those that
    /// only one of the two has.
    ///
    /// A smaller count is no difference.
    func differences(_ measured: WorkRecord) -> [Difference] {
        let here = Dictionary(self.counts) { first, _ in first }
        let there = Dictionary(measured.counts) { first, _ in first }
        let names = self.counts.map(\.name) + measured.counts.map(\.name).filter { here[$0] == nil }
        return names.compactMap { name in
            let difference = Difference(name: name, recorded: here[name], measured: there[name])
            guard let recorded = difference.recorded, let count = difference.measured else { return difference }
            let unit = name.prefix { $0 != ":" }
            let tolerance = Work.Unit(rawValue: String(unit))?.tolerance ?? 0
            return Double(count) > Double(recorded) * (1 + tolerance) ? difference : nil
        }
    }
}
