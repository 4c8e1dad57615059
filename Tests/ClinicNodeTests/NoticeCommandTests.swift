import Foundation
import Testing

@Suite("notify and probe", .timeLimit(.minutes(2))) struct NoticeCommandTests {
    @Test("a notice is sent, and what is none is refused with a sentence")
    func notify() async throws {
        let binary = try Binary()
        let data = binary.data()
        _ = try await binary.run(["init", "--data", data, "--name", "desk"])
        #expect(try await binary.run(["notify", "hello", "--data", data]).status == 69)
        #expect(try await binary.run(["notify", "--data", data]).status == 64)
        let agent = try await Agent(binary, data: data)
        let sent = try await binary.run(["notify", "--data", data, "--json", "Water", "is", "off"])
        #expect(sent.status == 0, "\(sent.errors)")
        let reply = try JSONSerialization.jsonObject(with: Data(sent.output.utf8)) as? [String: String]
        let id = try #require(reply?["id"])
        let sql = "SELECT fields FROM clinicsync_event WHERE type = 'notice' AND pk = '\(id)'"
        var fields = ""
        try await Binary.wait {
            fields = try await binary.sqlite3(data, sql).output
            return !fields.isEmpty
        }
        #expect(fields.contains(#""text":"Water is off""#))
        #expect(fields.contains(#""name":"desk""#))
        #expect(try await binary.run(["notify", "--data", data, "--user", "admin", "hello"]).status == 0)
        #expect(try await binary.run(["notify", "--data", data, "--node", "desk", "hello"]).status == 0)
        for (arguments, status) in [
            (["--user", "nobody", "hello"], 1), (["--node", "nobody", "hello"], 64),
            (["--node", "desk", "--user", "admin", "hello"], 64), ([String(repeating: "x", count: 1_001)], 64),
            ([""], 64),
        ] as [([String], Int32)] {
            let refused = try await binary.run(["notify", "--data", data] + arguments)
            #expect(refused.status == status, "\(refused.errors)")
            #expect(refused.output.isEmpty)
        }
        #expect(await agent.stop() == 0)
        try binary.clean()
    }

    @Test("a probe of two nodes names the other, in text and as JSON")
    func probe() async throws {
        let binary = try Binary()
        let (desk, lab) = (binary.data("desk"), binary.data("lab"))
        _ = try await binary.run(["init", "--data", desk, "--name", "desk"])
        #expect(try await binary.run(["probe", "--data", desk]).status == 69)
        #expect(try await binary.run(["probe", "--data", desk, "--timeout", "61s"]).status == 64)
        let first = try await Agent(binary, data: desk)
        let code = try await binary.run(["invite", "--data", desk]).output.trimmingCharacters(
            in: .whitespacesAndNewlines
        )
        #expect(try await binary.run(["join", code, "--data", lab, "--name", "lab"]).status == 0)
        let second = try await Agent(binary, data: lab)
        var outcome = try await binary.run(["probe", "--data", lab, "--json"])
        try await Binary.wait {
            if outcome.output.contains(#""name":"desk""#) { return true }
            outcome = try await binary.run(["probe", "--data", lab, "--json"])
            return false
        }
        #expect(outcome.status == 0)
        #expect(outcome.output.contains(#""complete":true"#))
        #expect(outcome.output.contains(#""missing":[]"#))
        let text = try await binary.run(["probe", "--data", desk]).output
        #expect(text.contains("ROUND TRIP"))
        #expect(text.contains("lab"))
        #expect(await second.stop() == 0)
        #expect(await first.stop() == 0)
        try binary.clean()
    }
}
