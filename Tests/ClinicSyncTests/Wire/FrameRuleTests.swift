import Foundation
import Testing

@testable import ClinicSyncWire

@Suite("The rules of frames before they are built") struct FrameRuleTests {
    /// The lines of a message of `clinicsync.proto`, those of messages within it included.
    private static func lines(of message: String) throws -> [String] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let url = root.appending(path: "Sources/ClinicSync/Wire/clinicsync.proto")
        let lines = try String(contentsOf: url, encoding: .utf8).components(separatedBy: "\n")
        let start = try #require(lines.firstIndex { $0.hasPrefix("message \(message) {") })
        return Array(lines[start...].prefix { $0 != "}" })
    }

    /// The numbers of fields by their names, of lines like `  repeated Table tables = 3;`.
    private static func numbers(in lines: some Sequence<String>) -> [String: Int] {
        var numbers: [String: Int] = [:]
        for line in lines {
            let words = line.split(whereSeparator: { " ;".contains($0) }).map(String.init)
            guard words.count >= 4, let equals = words.firstIndex(of: "="), equals > 0, equals + 1 < words.count else {
                continue
            }
            numbers[words[equals - 1]] = Int(words[equals + 1])
        }
        return numbers
    }

    @Test("every message of a frame has a rule, and nothing else has")
    func kinds() throws {
        let frame = try FrameRuleTests.lines(of: "Frame")
        let start = try #require(frame.firstIndex { $0.contains("oneof message") })
        let messages = FrameRuleTests.numbers(in: frame[start...].prefix { $0 != "  }" })
        #expect(messages.count == 26)
        #expect(FrameRule.all.keys.sorted() == messages.values.sorted())
    }

    @Test(
        "counted fields have the numbers of the protocol",
        arguments: [
            ("hello", "Hello", "partials"), ("digests", "Digests", "tables"), ("row_hashes", "RowHashes", "keys"),
            ("row_states", "RowStates", "wanted"), ("sync_report", "SyncReport", "nodes"),
            ("host_report", "HostReport", "successors"), ("acknowledge", "Acknowledge", "unproven"),
            ("member_proof", "MemberProof", "certificates"),
        ]
    )
    func repeated(field: String, message: String, name: String) throws {
        let kind = try #require(FrameRuleTests.numbers(in: FrameRuleTests.lines(of: "Frame"))[field])
        let numbers = FrameRuleTests.numbers(in: try FrameRuleTests.lines(of: message).filter { !$0.hasPrefix("    ") })
        let rule = try #require(FrameRule.all[kind])
        let repeated = try #require(rule.repeated.first { $0.name == name })
        #expect(repeated.number == numbers[name])
        if message == "Hello" { #expect(rule.report == numbers["host_report"]) }
    }
}
