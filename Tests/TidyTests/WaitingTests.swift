import Foundation
import Testing

/// Suites that wait for real time are told from those that only compute by their time limits; `.ci/checks` runs the latter
/// with whatever processor time is left over.
@Suite("Suites that wait")
struct WaitingTests {
    /// What only a suite uses that waits for nodes, sockets, processes or time.
    private static let signs = [
        "TestClinic" + ".start", "binary" + ".run(", "Agent" + "(binary", "Task" + ".sleep", "Bootstrap" + "(",
        "EventLoopGroup" + ".",
    ]

    @Test("a suite that waits has a time limit")
    func timeLimits() throws {
        for file in try SourceFile.all(in: ["Tests"]) {
            let code = file.code.map(\.line).joined(separator: "\n")
            guard code.contains("@Test"), !code.contains(".timeLimit(") else { continue }
            for sign in Self.signs where code.contains(sign) {
                Issue.record("\(file.path) uses \(sign) and gives no suite a time limit")
            }
        }
    }

    @Test("the budgets in DEVELOPING are those of suites that there are, and say of each whether it waits")
    func budgets() throws {
        let url = SourceFile.root.appending(path: "docs/DEVELOPING.md")
        let rows = try String(contentsOf: url, encoding: .utf8).matches(of: /\| `(\w+)` \| (\w+) \| \d+ \|/)
        #expect(rows.count > 20)
        // Two modules may each have a suite of one name.
        var kinds: [String: Set<String>] = [:]
        for file in try SourceFile.all(in: ["Tests"]) {
            let code = file.code.map(\.line).joined(separator: "\n")
            let kind = code.contains(".timeLimit(") ? "waits" : "computes"
            for suite in code.matches(of: /struct (\w+Tests)\b/) { kinds[String(suite.1), default: []].insert(kind) }
        }
        for row in rows { #expect(kinds[String(row.1)]?.contains(String(row.2)) == true, "\(row.1)") }
    }
}
