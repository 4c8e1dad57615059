import Foundation
import Testing

/// A node's directory copied while it is stopped, and both copies started: real processes, real files.
@Suite(.timeLimit(.minutes(3)), .serialized) struct CloneTests {
    private func status(_ binary: Binary, _ data: String) async throws -> [String: Any] {
        let outcome = try await binary.run(["status", "--data", data, "--json"])
        guard outcome.status == 0 else { return [:] }
        return try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
    }

    private func doubles(_ binary: Binary, _ data: String) async throws -> [String] {
        try await self.status(binary, data)["duplicateIdentities"] as? [String] ?? []
    }

    private func sqlite3(_ binary: Binary, _ data: String, _ sql: String) async throws -> String {
        let outcome = try await binary.sqlite3(data, sql)
        try #require(outcome.status == 0, "\(outcome.errors)")
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test("two copies of a node are named on the host and on both PCs, and the changes of both reach the clinic")
    func twoCopies() async throws {
        let binary = try Binary()
        let (host, original, copy) = (binary.data("host"), binary.data("lab"), binary.data("copy"))
        #expect(try await binary.run(["init", "--data", host]).status == 0)
        let hostAgent = try await Agent(binary, data: host)
        let code = try await binary.run(["invite", "--data", host]).output.trimmingCharacters(in: .newlines)
        #expect(try await binary.run(["join", code, "--data", original, "--name", "lab"]).status == 0)
        let first = try await Agent(binary, data: original)
        _ = try await self.sqlite3(binary, original, "INSERT INTO patients(id) VALUES ('before')")
        try await Binary.wait {
            try await self.sqlite3(binary, host, "SELECT count(*) FROM patients") == "1"
        }
        #expect(await first.stop() == 0)
        #expect(try await binary.shell("cp", ["-a", original, copy]).status == 0)
        var agents = [try await Agent(binary, data: original), try await Agent(binary, data: copy)]
        for (data, name) in [(original, "here"), (copy, "there")] {
            _ = try await self.sqlite3(binary, data, "INSERT INTO patients(id) VALUES ('\(name)')")
        }
        let node = try #require(try await self.status(binary, original)["node"] as? [String: Any])
        let id = try #require(node["id"] as? String)
        for data in [host, original, copy] {
            try await Binary.wait { try await self.doubles(binary, data) == [id] }
        }
        let text = try await binary.run(["status", "--data", copy]).output
        #expect(text.contains("Another PC runs with this node's key"))
        // Both copies deliver their changes, one after the other.
        for agent in agents { #expect(await agent.stop() == 0) }
        for (data, name) in [(original, "here"), (copy, "there")] {
            agents = [try await Agent(binary, data: data)]
            try await Binary.wait {
                try await self.sqlite3(binary, host, "SELECT count(*) FROM patients WHERE id = '\(name)'") == "1"
            }
            #expect(await agents[0].stop() == 0)
        }
        #expect(try await self.sqlite3(binary, host, "SELECT count(*) FROM patients") == "3")
        #expect(await hostAgent.stop() == 0)
        try binary.clean()
    }
}
