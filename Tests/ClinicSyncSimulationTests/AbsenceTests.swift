import ClinicSyncSimulation
import Foundation
import Testing

/// The absence torture: PCs are away, come back from backups, lose their files and join in pieces (`docs/ABSENCE.md`).
@Suite("Absence torture") struct AbsenceTests {
    /// Runs that have every case, on 2 and on 3 nodes, and a pair of cases on 5 nodes.
    private static let sample: [UInt64] = [3_378, 3_379, 487]

    /// Runs that once found a fault.
    ///
    /// 3379: a value of a state that lost to an own one was in no journal.
    private static let telling: [UInt64] = [3_379]

    private static let environment = ProcessInfo.processInfo.environment

    @discardableResult
    private static func check(_ number: UInt64, templates: DiskTemplates = DiskTemplates()) throws -> AbsenceResult {
        let result = try AbsenceRun.result(number: number, templates: templates)
        if let violation = result.violation {
            print("\(violation)\n  repeat: \(result.reproduction)\n  \(result.plan)")
            for line in result.transcript.suffix(Int(environment["CLINICSYNC_TRANSCRIPT"] ?? "") ?? 40) {
                print("  | \(line)")
            }
            Issue.record("\(violation); repeat: \(result.reproduction)")
        }
        return result
    }

    @Test("every case happens on 2 and on 3 nodes, two on 5 nodes, and every promise holds")
    func sample() throws {
        var counts = AbsenceCounts()
        for number in Set(AbsenceTests.sample + AbsenceTests.telling).sorted() {
            counts.add(try AbsenceTests.check(number).counts)
        }
        #expect(counts.installed > 0, "nobody came back by a state")
        #expect(counts.broken > 0, "no transfer was broken off")
        #expect(counts.continued > 0, "no transfer was continued after a start")
        #expect(counts.replaced > 0, "no files were replaced")
        #expect(counts.lapsed > 0, "nobody lapsed")
        #expect(counts.pruned > 0, "no log was pruned")
        #expect(counts.numbers > 0, "no numbers were compared")
    }

    @Test("one number is one run")
    func deterministic() throws {
        let first = try AbsenceRun.result(number: 1)
        let second = try AbsenceRun.result(number: 1)
        #expect(first.violation == nil)
        #expect(first.hash == second.hash)
        #expect(first.steps == second.steps)
    }

    @Test("the numbers enumerate every case, every pair in both orders, and every triple on 3 nodes")
    func enumeration() {
        let plans = (0..<AbsencePlan.enumerated).map { AbsencePlan(number: $0) }
        let pairs = AbsenceCase.ordered.count * AbsenceCase.ordered.count
        for nodes in AbsencePlan.sizes {
            let here = plans.filter { $0.nodes == nodes }.map { $0.steps.map(\.kind) }
            #expect(Set(here.filter { $0.count == 1 }.map { $0[0] }) == Set(AbsenceCase.allCases))
            #expect(Set(here.filter { $0.count == 2 }).count == pairs)
        }
        #expect(Set(plans.filter { $0.steps.count == 3 }.map(\.steps)).count == 14 * 14 * 14)
        #expect(Set(plans.map { "\($0)" }).count == plans.count, "two numbers have one plan")
        for number in AbsenceTests.sample.prefix(2) {
            #expect(Set(AbsencePlan(number: number).steps.map(\.kind)) == Set(AbsenceCase.ordered))
        }
        #expect(Set(AbsenceTests.sample.map { AbsencePlan(number: $0).nodes }) == Set(AbsencePlan.sizes))
    }

    @Test(
        "the runs of CLINICSYNC_ABSENCE, and of the CLINICSYNC_ABSENCE_COUNT numbers from there on",
        .enabled(if: environment["CLINICSYNC_ABSENCE"] != nil)
    )
    func chosen() throws {
        let first = try #require(UInt64(AbsenceTests.environment["CLINICSYNC_ABSENCE"] ?? ""))
        let count = UInt64(AbsenceTests.environment["CLINICSYNC_ABSENCE_COUNT"] ?? "") ?? 1
        let templates = DiskTemplates()
        for number in first..<first + count {
            let result = try AbsenceTests.check(number, templates: templates)
            print("absence \(number) \(result.plan): \(result.time), \(result.steps) steps, \(result.counts)")
        }
    }

    @Test("docs/ABSENCE.md has every case, the number of runs, and names tests that exist")
    func document() throws {
        let root = URL(filePath: #filePath).appending(path: "../../..").standardized
        let text = try String(contentsOf: root.appending(path: "docs/ABSENCE.md"), encoding: .utf8)
        let named = text.split(separator: "\n").filter { $0.hasPrefix("### `") }
            .compactMap { $0.split(separator: "`").dropFirst().first.map(String.init) }
        #expect(named == AbsenceCase.allCases.map(\.rawValue))
        #expect(text.contains("\(AbsencePlan.enumerated) runs"))
        let words = text.split { !$0.isLetter && !$0.isNumber }.filter { $0.hasSuffix("Tests") && $0.count > 5 }
        let files = try #require(FileManager.default.enumerator(atPath: root.appending(path: "Tests").path))
        var suites: Set<Substring> = []
        for case let name as String in files where name.hasSuffix(".swift") {
            let source = try String(contentsOf: root.appending(path: "Tests/\(name)"), encoding: .utf8)
            for line in source.split(separator: "\n") where line.contains("struct ") {
                suites.formUnion(line.split { !$0.isLetter && !$0.isNumber }.filter { $0.hasSuffix("Tests") })
            }
        }
        for word in Set(words) { #expect(suites.contains(word), "there is no \(word)") }
    }
}
