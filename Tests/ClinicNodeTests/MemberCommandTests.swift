import Foundation
import Testing

/// Members and the host as the commands show them.
@Suite(.timeLimit(.minutes(2)), .serialized) struct MemberCommandTests {
    private func json(_ binary: Binary, _ arguments: [String]) async throws -> [String: Any] {
        let outcome = try await binary.run(arguments + ["--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
    }

    private func nodes(_ binary: Binary, _ data: String) async throws -> [[String: Any]] {
        try #require(try await self.json(binary, ["nodes", "--data", data])["nodes"] as? [[String: Any]])
    }

    @Test("a PC that comes back at another address, under another name, is the same member; host names the host")
    func sameMember() async throws {
        let binary = try Binary()
        let (first, second) = (binary.data("a"), binary.data("b"))
        #expect(try await binary.run(["init", "--data", first, "--name", "front"]).status == 0)
        let front = try await Agent(binary, data: first)
        let code = try await binary.run(["invite", "--data", first]).output.trimmingCharacters(in: .newlines)
        #expect(try await binary.run(["join", code, "--data", second, "--name", "lab"]).status == 0)
        var lab = try await Agent(binary, data: second)
        func address() async throws -> String? {
            let found = try await self.nodes(binary, first).first { $0["name"] as? String == "lab" }
            return found?["address"] as? String
        }
        try await Binary.wait { try await address()?.isEmpty == false }
        let before = try await address()
        let id = try #require(
            try await self.nodes(binary, first).first { $0["name"] as? String == "lab" }?["id"] as? String
        )
        #expect(await lab.stop() == 0)
        // Port 0 gives the node another port than before.
        lab = try await Agent(binary, data: second)
        try await Binary.wait { try await address() != before }
        #expect(try await self.nodes(binary, first).count == 2)
        let renamed = try await binary.run(["nodes", "rename", "lab", "X-ray", "--data", first])
        #expect(renamed.status == 0, "\(renamed.errors)")
        try await Binary.wait {
            try await self.nodes(binary, second).contains {
                $0["name"] as? String == "X-ray" && $0["id"] as? String == id
            }
        }
        let taken = try await binary.run(["nodes", "rename", "front", "X-ray", "--data", second])
        #expect(taken.status == 1)
        #expect(taken.errors.contains("Another node"))
        let host = try await self.json(binary, ["host", "--data", second])
        let described = try #require(host["host"] as? [String: Any])
        #expect(described["name"] as? String == "front")
        #expect(host["isSelf"] as? Bool == false)
        #expect(host["term"] as? Int != nil)
        #expect(await lab.stop() == 0)
        try await self.replace(binary, first)
        #expect(await front.stop() == 0)
        try binary.clean()
    }

    /// The PC X-ray is broken, and another one takes its place and its name.
    private func replace(_ binary: Binary, _ first: String) async throws {
        let asked = try await binary.run(["nodes", "replace", "X-ray", "--data", first])
        #expect(asked.status == 64)
        #expect(asked.errors.contains("--yes"))
        let invited = try await binary.run(["invite", "--data", first])
        #expect(invited.errors.contains("Good for 1 PC, for 30m"))
        let join = [
            "join", invited.output.trimmingCharacters(in: .newlines), "--data", binary.data("c"), "--name", "x-ray",
        ]
        let taken = try await binary.run(join)
        #expect(taken.status == 2, "\(taken.errors)")
        #expect(taken.errors.contains("has this name"))
        let replaced = try await binary.run(["nodes", "replace", "X-ray", "--yes", "--data", first])
        #expect(replaced.status == 0, "\(replaced.errors)")
        #expect(replaced.errors.contains(#"--name "X-ray""#))
        #expect(try await self.nodes(binary, first).contains { $0["standing"] as? String == "revoked" })
        // The name is free now, and the refusal has used nothing of the code.
        let joined = try await binary.run(join)
        #expect(joined.status == 0, "\(joined.errors)")
    }
}
