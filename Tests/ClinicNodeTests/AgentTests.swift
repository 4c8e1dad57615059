import Foundation
import Testing

@Suite(.timeLimit(.minutes(2))) struct AgentTests {
    private func withAgent(
        _ arguments: [String] = [],
        _ body: (Binary, String, Agent) async throws -> Void
    ) async throws {
        let binary = try Binary()
        let data = binary.data()
        #expect(try await binary.run(["init", "--data", data, "--name", "desk"]).status == 0)
        let agent = try await Agent(binary, data: data, arguments)
        do {
            try await body(binary, data, agent)
        } catch {
            _ = await agent.stop(SIGKILL)
            throw error
        }
        _ = await agent.stop(SIGKILL)
        try binary.clean()
    }

    @Test("the agent stops gracefully on SIGTERM and SIGINT and takes its address back", arguments: [SIGTERM, SIGINT])
    func stops(signal: Int32) async throws {
        try await self.withAgent { _, data, agent in
            #expect(FileManager.default.fileExists(atPath: data + "/run/api.json"))
            #expect(await agent.stop(signal) == 0)
            #expect(!FileManager.default.fileExists(atPath: data + "/run/api.json"))
            #expect(!FileManager.default.fileExists(atPath: data + "/run/pid"))
        }
    }

    @Test("after a kill the directory can be run again at once, and nobody is sent to the old address")
    func killed() async throws {
        try await self.withAgent { binary, data, agent in
            _ = await agent.stop(SIGKILL)
            #expect(try await binary.run(["status", "--data", data]).status == 69)
            let doctor = try await binary.with(["CLINIC_NODE_DISCOVERY": "off"]).run([
                "doctor", "--data", data, "--json",
            ])
            #expect(doctor.status == 1 && doctor.output.contains("nodeNotRunning"))
            let second = try await Agent(binary, data: data)
            #expect(try await binary.run(["status", "--data", data]).status == 0)
            #expect(await second.stop() == 0)
        }
    }

    @Test("a second run on the same directory is refused and names the first")
    func secondRun() async throws {
        try await self.withAgent { binary, data, agent in
            let arguments = ["run", "--data", data, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]
            let outcome = try await binary.run(arguments)
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains("already running as process \(agent.processID)"))
            #expect(try await binary.run(["status", "--data", data]).status == 0)
        }
    }

    @Test("a port in use is a clear error")
    func portInUse() async throws {
        try await self.withAgent { binary, data, _ in
            let text = try String(contentsOfFile: data + "/run/api.json", encoding: .utf8)
            let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            let port = try #require(object?["port"] as? Int)
            let other = binary.data("other")
            #expect(try await binary.run(["init", "--data", other]).status == 0)
            let arguments = ["run", "--data", other, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:\(port)"]
            let outcome = try await binary.run(arguments)
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains("Another program uses 127.0.0.1:\(port)"))
        }
    }

    @Test("status prints every key of the contract")
    func status() async throws {
        try await self.withAgent { binary, data, _ in
            // A node is ready before it is host.
            try await Binary.wait { try await binary.run(["status", "--data", data]).output.hasPrefix("desk  host") }
            let outcome = try await binary.run(["status", "--data", data, "--json"])
            let status = try #require(
                try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
            )
            let keys: Set = [
                "node", "clinic", "role", "term", "host", "activeConnections", "pendingChanges",
                "clockOffsetMilliseconds", "lastReconciliation", "conflicts", "tables", "peers",
            ]
            #expect(keys.isSubset(of: Set(status.keys)))
            #expect(status["role"] as? String == "host")
            let node = try #require(status["node"] as? [String: Any])
            #expect(Set(node.keys) == ["id", "name", "version", "schemaVersion", "uptimeSeconds"])
            #expect((status["tables"] as? [Any])?.count == 13)
            let text = try await binary.run(["status", "--data", data])
            #expect(text.output.hasPrefix("desk  host"))
            #expect(!text.output.contains("\u{1B}"))
            // The doctor asks the same node, and tests its port and disk; without avahi it asks nobody by multicast.
            let quiet = binary.with(["CLINIC_NODE_DISCOVERY": "off"])
            let report = binary.data("report.json")
            let doctor = try await quiet.run(["doctor", "--data", data, "--report", report])
            #expect(doctor.status == 0, "\(doctor.output)\(doctor.errors)")
            #expect(doctor.output.contains("The node runs as host"))
            #expect(doctor.output.contains("The node accepts connections at 127.0.0.1:"))
            #expect(doctor.output.contains("The disk takes writes"))
            #expect(doctor.output.contains("checks are well"))
            let written = try String(contentsOfFile: report, encoding: .utf8)
            #expect(written.contains("\"role\" : \"host\""))
        }
    }

    @Test("invite prints one join code and nothing else as data, and says what comes next")
    func invite() async throws {
        try await self.withAgent { binary, data, _ in
            let outcome = try await binary.run(["invite", "--data", data])
            #expect(outcome.status == 0)
            #expect(outcome.errors.contains("clinic-node join CODE"))
            #expect(outcome.output.wholeMatch(of: /([0-9A-Z]{1,5}-)+[0-9A-Z]{1,5}\n/) != nil)
        }
    }
}
