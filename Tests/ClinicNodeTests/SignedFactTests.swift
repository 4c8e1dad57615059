import Foundation
import Testing

/// A member that writes forged rows about members with `sqlite3`, and what the others make of them.
@Suite(.timeLimit(.minutes(2)), .serialized) struct SignedFactTests {
    private func json(_ binary: Binary, _ arguments: [String]) async throws -> [String: Any] {
        let outcome = try await binary.run(arguments + ["--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
    }

    private func nodes(_ binary: Binary, _ data: String) async throws -> [[String: Any]] {
        try #require(try await self.json(binary, ["nodes", "--data", data])["nodes"] as? [[String: Any]])
    }

    private func login(_ binary: Binary, _ data: String, _ user: String) async throws -> String {
        let outcome = try await binary.run(
            ["sessions", "login", user, "--data", data, "--json"],
            input: "a long password\n"
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        return outcome.output
    }

    @Test("forged members, revocations, rights and names change no list and no majority")
    func forged() async throws {
        let binary = try Binary()
        let (front, lab, x) = (binary.data("a"), binary.data("b"), binary.data("x"))
        #expect(try await binary.run(["init", "--data", front, "--name", "front"]).status == 0)
        let host = try await Agent(binary, data: front)
        let code = try await binary.run(["invite", "--uses", "2", "--data", front]).output
            .trimmingCharacters(in: .newlines)
        #expect(try await binary.run(["join", code, "--data", lab, "--name", "lab"]).status == 0)
        #expect(try await binary.run(["join", code, "--data", x, "--name", "x"]).status == 0)
        let others = [try await Agent(binary, data: lab), try await Agent(binary, data: x)]
        for user in ["ana", "ben"] {
            let added = try await binary.run(
                ["users", "add", user, "--role", "doctor", "--data", front],
                input: "a long password\n"
            )
            #expect(added.status == 0, "\(added.errors)")
        }
        try await Binary.wait {
            let known = try await self.nodes(binary, x)
            return known.count == 3
                && known.allSatisfy { $0["connected"] as? Bool == true || $0["name"] as? String == "lab" }
        }
        func id(_ name: String) async throws -> String {
            try #require(try await self.nodes(binary, x).first { $0["name"] as? String == name }?["id"] as? String)
        }
        let (frontID, labID) = (try await id("front"), try await id("lab"))
        let forgery = """
            BEGIN;
            INSERT OR REPLACE INTO clinicsync_revocation (node, number, entry)
                SELECT id, 1, x'00ff' FROM clinicsync_node;
            INSERT OR REPLACE INTO clinicsync_grant (node, certificate) VALUES ('\(labID)', x'3000');
            UPDATE clinicsync_node SET name = 'front', maySign = 1 WHERE id = '\(labID)';
            UPDATE clinicsync_node SET name = 'forged', certificate = NULL, statement = NULL WHERE id = '\(frontID)';
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
            INSERT INTO clinicsync_node (id, name, maySign) SELECT printf('%026d', i), 'ghost', 1 FROM n;
            INSERT INTO patients (id, fullName) VALUES ('mark', 'Mark');
            COMMIT;
            """
        let written = try await binary.sqlite3(x, forgery)
        #expect(written.status == 0, "\(written.errors)")
        for data in [front, lab] {
            try await Binary.wait {
                try await binary.sqlite3(data, "SELECT count(*) FROM patients WHERE id = 'mark'")
                    .output == "1\n"
            }
            try await Binary.wait {
                let security = try await self.json(binary, ["status", "--data", data])["security"] as? [String: Any]
                return security?["unsignedRows"] as? Int ?? 0 >= 100
            }
            let nodes = try await self.nodes(binary, data)
            #expect(nodes.compactMap { $0["name"] as? String } == ["front", "lab", "x"])
            #expect(nodes.allSatisfy { $0["role"] as? String != "revoked" })
            #expect(nodes.filter { $0["maySign"] as? Bool == true }.compactMap { $0["name"] as? String } == ["front"])
        }
        // A hundred forged members do not outvote three real ones, and forged revocations do not make one a majority.
        #expect(try await self.login(binary, front, "ana").contains(#""provisional":false"#))
        for agent in others { #expect(await agent.stop() == 0) }
        try await Binary.wait {
            try await self.json(binary, ["status", "--data", front])["activeConnections"] as? Int == 0
        }
        #expect(try await self.login(binary, front, "ben").contains(#""provisional":true"#))
        #expect(await host.stop() == 0)
        try binary.clean()
    }
}
