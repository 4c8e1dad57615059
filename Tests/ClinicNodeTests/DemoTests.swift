import Foundation
import Testing

@Suite(.timeLimit(.minutes(3))) struct DemoTests {
    @Test("a demonstration of five seconds proves three PCs equal, in plain text, and leaves nothing behind")
    func piped() async throws {
        let binary = try Binary()
        let temporary = binary.data("tmp")
        try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: true)
        let shielded = try Binary(environment: ["TMPDIR": temporary])
        let outcome = try await shielded.run(["demo", "--seconds", "5", "--nodes", "3"])
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.contains("\nEQUAL: all 13 tables"), "\(outcome.output)")
        #expect(outcome.output.contains("both kept"))
        #expect(outcome.output.contains("no increment is lost"))
        #expect(outcome.output.contains("is back: "))
        #expect(!outcome.output.contains("\u{1B}"))
        // The path of the files is as long as it is.
        let long = outcome.output.split(separator: "\n").filter { $0.count > 80 && !$0.hasPrefix("The files are in ") }
        #expect(long.isEmpty)
        #expect(outcome.errors.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: temporary).isEmpty)
        try shielded.clean()
        try binary.clean()
    }

    @Test("as JSON a demonstration is one object a line, the last of which is the proof; a terminal shows it in colour")
    func json() async throws {
        let binary = try Binary()
        let program = try #require(try binary.makeProcess([]).executableURL)
        // Beside it, because both mostly wait: what a person at a terminal sees.
        let call = "\(program.path) demo --seconds 1 --nodes 2"
        async let terminal = binary.shell("script", ["-qec", call, "/dev/null"])
        let outcome = try await binary.run(["demo", "--seconds", "2", "--nodes", "2", "--json"])
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        let events = try outcome.output.split(separator: "\n").map { line in
            try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
        #expect(events.first?["event"] as? String == "started")
        #expect((events.first?["nodes"] as? [Any])?.count == 2)
        #expect(Set(events.compactMap { $0["event"] as? String }) == ["started", "wrote", "note", "proof"])
        let proof = try #require(events.last)
        #expect(proof["equal"] as? Bool == true)
        #expect((proof["tables"] as? [Any])?.count == 13)
        let shown = try await terminal
        #expect(shown.status == 0, "\(shown.output)\(shown.errors)")
        #expect(shown.output.components(separatedBy: "\u{1B}[32mequal\u{1B}[0m").count == 14)
        #expect(!shown.output.contains("\u{FFFD}"))
        try binary.clean()
    }

    @Test("a demonstration that cannot be is a wrong call")
    func wrongCalls() async throws {
        let binary = try Binary()
        for arguments in [["--nodes", "1"], ["--nodes", "17"], ["--seconds", "0"]] {
            #expect(try await binary.run(["demo"] + arguments).status == 64)
        }
        try binary.clean()
    }
}
