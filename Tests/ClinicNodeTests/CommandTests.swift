import Foundation
import Testing

@Suite(.timeLimit(.minutes(2))) struct CommandTests {
    /// Whether the text is one sentence: one line with a final period.
    private func expectSentence(_ outcome: Binary.Outcome, status: Int32, contains part: String) {
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("Error: "))
        #expect(outcome.errors.hasSuffix(".\n"))
        #expect(outcome.errors.split(separator: "\n").count == 1)
        #expect(outcome.errors.contains(part), "\(outcome.errors)")
    }

    private func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test("version and help work anywhere; a wrong call is status 64")
    func calls() async throws {
        let binary = try Binary()
        let version = try await binary.run(["version"])
        #expect(version.output.hasPrefix("clinic-node "))
        #expect(try await binary.run(["--version"]).output == version.output)
        #expect(try self.object(try await binary.run(["version", "--json"]).output)["version"] is String)
        #expect(try await binary.run(["--help"]).status == 0)
        let wrong = [
            ["frob"], ["join"], ["invite", "--ttl", "soon"], ["invite", "--uses", "0"], ["sync", "--timeout", "5"],
            ["watch", "--since", "x"], ["seed", "--patients", "0"], ["completions", "tcsh"], ["status", "--frob"],
        ]
        for arguments in wrong {
            let outcome = try await binary.run(arguments)
            #expect(outcome.status == 64, "\(arguments)")
            #expect(outcome.output.isEmpty)
            #expect(!outcome.errors.isEmpty)
        }
        for shell in ["bash", "zsh", "fish"] {
            #expect(try await binary.run(["completions", shell]).output.contains("clinic-node"))
        }
        try binary.clean()
    }

    @Test("init makes a node, tells about it as JSON, and refuses to make it again")
    func initialise() async throws {
        let binary = try Binary()
        let data = binary.data()
        let made = try await binary.run(["init", "--data", data, "--clinic", "Niño", "--name", "desk", "--json"])
        #expect(made.status == 0)
        let report = try self.object(made.output)
        #expect((report["node"] as? [String: String])?["name"] == "desk")
        #expect((report["clinic"] as? [String: String])?["name"] == "Niño")
        #expect(report["database"] as? String == data + "/clinic.db")
        for (name, mode) in [("clinic.db", 0o600), ("api.token", 0o600), ("identity", 0o700)] {
            let attributes = try FileManager.default.attributesOfItem(atPath: data + "/" + name)
            #expect(attributes[.posixPermissions] as? Int == mode, "\(name)")
        }
        let before = try Data(contentsOf: URL(fileURLWithPath: data + "/identity/identity.json"))
        self.expectSentence(
            try await binary.run(["init", "--data", data]),
            status: 1,
            contains: "already holds a node"
        )
        #expect(try Data(contentsOf: URL(fileURLWithPath: data + "/identity/identity.json")) == before)
        try binary.clean()
    }

    @Test("a directory that cannot be one is a clear error that leaves nothing")
    func unusableDirectory() async throws {
        let binary = try Binary()
        let file = binary.data("file")
        try Data().write(to: URL(fileURLWithPath: file))
        for path in [file, file + "/node", "/proc/clinic"] {
            self.expectSentence(try await binary.run(["init", "--data", path]), status: 1, contains: path)
        }
        for name in ["", String(repeating: "x", count: 65), "two\nlines"] {
            let outcome = try await binary.run(["init", "--data", binary.data(), "--name", name])
            self.expectSentence(outcome, status: 64, contains: "name of a node")
        }
        #expect(!FileManager.default.fileExists(atPath: binary.data()))
        try binary.clean()
    }

    @Test("commands on a directory without a node say so")
    func noNode() async throws {
        let binary = try Binary()
        for command in ["run", "status", "sync", "watch", "invite", "digest", "seed"] {
            let outcome = try await binary.run([command, "--data", binary.data()])
            self.expectSentence(outcome, status: 78, contains: "holds no node")
        }
        #expect(!FileManager.default.fileExists(atPath: binary.data()))
        try binary.clean()
    }

    @Test("commands that need a running node say how to start it")
    func notRunning() async throws {
        let binary = try Binary()
        _ = try await binary.run(["init", "--data", binary.data()])
        for command in ["status", "sync", "watch", "invite"] {
            let outcome = try await binary.run([command, "--data", binary.data()])
            self.expectSentence(outcome, status: 69, contains: "start it with clinic-node run")
        }
        try binary.clean()
    }

    @Test("a wrong join code changes nothing")
    func wrongCode() async throws {
        let binary = try Binary()
        for code in ["", "ABCDE-FGHJK", "not a code!"] {
            let outcome = try await binary.run(["join", code, "--data", binary.data()])
            self.expectSentence(outcome, status: 64, contains: "join code")
        }
        #expect(!FileManager.default.fileExists(atPath: binary.data()))
        try binary.clean()
    }

    @Test("wrong settings are named, whether in a flag, the environment or the file")
    func wrongSettings() async throws {
        let binary = try Binary(environment: ["CLINIC_NODE_LOG_LEVEL": "loud"])
        self.expectSentence(try await binary.run(["config", "check"]), status: 78, contains: "CLINIC_NODE_LOG_LEVEL")
        try binary.clean()
        let plain = try Binary()
        let data = plain.data()
        _ = try await plain.run(["init", "--data", data])
        // An address that this PC does not have (RFC 5737), outside of private ranges.
        let reachable = try await plain.run(["run", "--data", data, "--listen", "203.0.113.1:7450"])
        self.expectSentence(reachable, status: 78, contains: "203.0.113.1")
        let malformed = try await plain.run(["run", "--data", data, "--listen", "7450"])
        self.expectSentence(malformed, status: 64, contains: "--listen")
        let outside = try await plain.run(["run", "--data", data, "--priority", "1001"])
        self.expectSentence(outside, status: 64, contains: "0 to 1000")
        try Data(#"{"lissen": "127.0.0.1:1"}"#.utf8).write(to: URL(fileURLWithPath: data + "/node.json"))
        self.expectSentence(
            try await plain.run(["config", "check", "--data", data]),
            status: 78,
            contains: "\"lissen\""
        )
        try plain.clean()
    }

    @Test("config check shows effective values and where they come from, and no secret")
    func configCheck() async throws {
        let binary = try Binary(environment: ["CLINIC_NODE_PRIORITY": "5"])
        let data = binary.data()
        _ = try await binary.run(["init", "--data", data])
        try Data(#"{"reconcileEvery": "10s"}"#.utf8).write(to: URL(fileURLWithPath: data + "/node.json"))
        let arguments = ["config", "check", "--data", data, "--log-level", "info", "--json"]
        let outcome = try await binary.run(arguments)
        let settings = try #require(try self.object(outcome.output)["settings"] as? [[String: String]])
        let values = Dictionary(uniqueKeysWithValues: settings.map { ($0["key"] ?? "", $0) })
        #expect(values["priority"] == ["key": "priority", "value": "5", "source": "environment"])
        #expect(values["reconcileEvery"] == ["key": "reconcileEvery", "value": "10s", "source": "file"])
        #expect(values["log.level"] == ["key": "log.level", "value": "info", "source": "flag"])
        #expect(values["listen"]?["source"] == "default")
        let token = try String(contentsOfFile: data + "/api.token", encoding: .utf8)
        #expect(!outcome.output.contains(token))
        try binary.clean()
    }

    @Test("seed fills an empty clinic, and refuses one that is not")
    func seed() async throws {
        let binary = try Binary()
        let data = binary.data()
        _ = try await binary.run(["init", "--data", data])
        let seeded = try await binary.run(["seed", "--data", data, "--patients", "5", "--json"])
        #expect(seeded.status == 0, "\(seeded.errors)")
        let counts = try #require(try self.object(seeded.output)["tables"] as? [[String: Any]])
        #expect(counts.count == 13)
        #expect(counts.first { $0["name"] as? String == "patients" }?["rows"] as? Int == 5)
        self.expectSentence(try await binary.run(["seed", "--data", data]), status: 2, contains: "--force")
        #expect(
            try await binary.run(["seed", "--data", data, "--patients", "5", "--seed", "2", "--force"]).status == 0
        )
        let digest = try self.object(try await binary.run(["digest", "--data", data, "--json"]).output)
        let tables = try #require(digest["tables"] as? [[String: Any]])
        #expect(tables.count == 13)
        #expect(tables.first { $0["name"] as? String == "patients" }?["rows"] as? Int == 10)
        try binary.clean()
    }
}
