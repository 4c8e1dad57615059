import ClinicSyncSimulation
import Foundation
import GRDB
import Testing

/// Compares the tables in `docs/CONFLICTS.md` with the engine.
@Suite("The document of conflicts")
struct ConflictDocumentTests {
    @Test("the tables of outcomes are what happens; CLINICSYNC_UPDATE_SNAPSHOTS=1 rewrites them")
    func outcomes() throws {
        let template = try TortureSchema.clinic.get()
        let rows = try TestStore(8, like: template).queue.read { try ClinicRows($0) }
        #expect(rows.tables.count == 13)
        let pairs = ClinicCase.all(rows)
        let pairOutcomes = try ClinicOutcomes(ScenarioRun.outcome(ClinicCase.scenario(pairs, rows), on: template))
        let references = ClinicReferenceCase.all(rows)
        let ends = try ClinicOutcomes(
            ScenarioRun.outcome(ClinicReferenceCase.scenario(references, rows), on: template)
        )
        let pairLines = pairs.map { ($0.table, pairOutcomes.line($0, columns: rows.plainColumns($0.table))) }
        let referenceLines = references.map { ("\($0.reference.child).\($0.reference.column)", ends.line($0)) }
        try self.compare("pairs", Self.table(pairLines, title: "Tables", all: rows.tables))
        try self.compare("references", Self.table(referenceLines, title: "References", all: []))
    }

    /// Groups equal outcomes.
    ///
    /// A pair with one outcome in both orders has one line.
    private static func table(_ lines: [(String, ClinicOutcomes.Line)], title: String, all: [String]) -> String {
        var order: [ClinicOutcomes.Line] = []
        var names: [ClinicOutcomes.Line: [String]] = [:]
        for (name, line) in lines {
            if names[line] == nil { order.append(line) }
            names[line, default: []].append(name)
        }
        let actions = ClinicAction.allCases.map(\.rawValue)
        func place(_ line: ClinicOutcomes.Line) -> (Int, Int) {
            (actions.firstIndex(of: line.first) ?? 0, actions.firstIndex(of: line.second) ?? 0)
        }
        order = order.enumerated()
            .sorted { left, right in
                let (one, other) = (place(left.element), place(right.element))
                return (one.0, one.1, left.offset) < (other.0, other.1, right.offset)
            }
            .map(\.element)
        var text = [
            "| One PC | Another, a second later | Order | Everybody sees | Journal | \(title) |",
            "|---|---|---|---|---|---|",
        ]
        var done: Set<ClinicOutcomes.Line> = []
        for line in order where !done.contains(line) {
            var mirrored = line
            (mirrored.first, mirrored.second) = (line.second, line.first)
            let isEither = mirrored == line || names[mirrored] == names[line]
            done.insert(line)
            if isEither { done.insert(mirrored) }
            let list = Self.list(names[line] ?? [], all: all)
            let when = isEither ? "either" : "as told"
            text.append("| \(line.first) | \(line.second) | \(when) | \(line.outcome) | \(line.journal) | \(list) |")
        }
        return text.joined(separator: "\n")
    }

    private static func list(_ names: [String], all: [String]) -> String {
        let missing = all.filter { !names.contains($0) }
        if !all.isEmpty, missing.isEmpty { return "all" }
        if !all.isEmpty, missing.count <= 3 { return "all but " + missing.map { "`\($0)`" }.joined(separator: ", ") }
        return names.map { "`\($0)`" }.joined(separator: ", ")
    }

    private func compare(_ section: String, _ table: String) throws {
        let file = URL(filePath: #filePath).appending(path: "../../../../docs/CONFLICTS.md").standardized
        var text = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        let begin = try #require(text.range(of: "<!-- \(section): made by a test -->\n"))
        let end = try #require(text.range(of: "<!-- end of \(section) -->"))
        if ProcessInfo.processInfo.environment["CLINICSYNC_UPDATE_SNAPSHOTS"] == "1" {
            text.replaceSubrange(begin.upperBound..<end.lowerBound, with: "\n\(table)\n\n")
            try Data(text.utf8).write(to: file)
        } else {
            let present = text[begin.upperBound..<end.lowerBound].trimmingCharacters(in: .whitespacesAndNewlines)
            let difference = ScenarioRun.difference(
                table.split(separator: "\n").map(String.init),
                present.split(separator: "\n").map(String.init)
            )
            #expect(present == table, "docs/CONFLICTS.md differs (- is the document):\n\(difference)")
        }
    }
}
