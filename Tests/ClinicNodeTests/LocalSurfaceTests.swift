import Foundation
import Testing

/// What a node shows in a terminal, and what other accounts of the PC may do with its files.
@Suite("The node on its own PC", .timeLimit(.minutes(1))) struct LocalSurfaceTests {
    /// A title for the window, a cleared screen, C1 and a change of direction.
    private static let evil = "p\u{1B}]0;x\u{7}\u{1B}[2J\u{9B}31m\u{202E}\r\nforged"

    private func expectRefused(_ binary: Binary, _ data: String, contains parts: [String]) async throws {
        let outcome = try await binary.run([
            "run", "--data", data, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--discovery", "off",
        ])
        #expect(outcome.status != 0)
        let sentence = outcome.errors.split(separator: "\n").last.map(String.init) ?? ""
        #expect(sentence.hasPrefix("Error: "))
        for part in parts { #expect(sentence.contains(part), "\(outcome.errors)") }
    }

    @Test("nothing in rows controls the terminal; JSON has every character")
    func escapes() async throws {
        let binary = try Binary()
        let data = binary.data()
        _ = try await binary.run(["init", "--data", data])
        let agent = try await Agent(binary, data: data)
        let quoted =
            "'p' || char(27) || ']0;x' || char(7) || char(27) || '[2J' || char(155) || '31m' || char(8238)"
            + " || char(13, 10) || 'forged'"
        let written = try await binary.sqlite3(data, "INSERT INTO patients(id, fullName) VALUES (\(quoted), \(quoted))")
        #expect(written.status == 0, "\(written.errors)")
        let log = binary.folder.appendingPathComponent("watch.out")
        try Data().write(to: log)
        let watch = try binary.makeProcess(["watch", "--data", data, "--since", "0"])
        let handle = try FileHandle(forWritingTo: log)
        watch.standardOutput = handle
        watch.standardError = FileHandle.nullDevice
        try watch.run()
        func lines() throws -> [String] {
            try String(contentsOf: log, encoding: .utf8).split(separator: "\n").map(String.init)
        }
        try await Binary.wait { try lines().contains { $0.contains("patients") } }
        watch.terminate()
        try handle.close()
        for (name, output) in [
            ("watch", try String(contentsOf: log, encoding: .utf8)),
            ("why", try await binary.run(["why", "patients/" + Self.evil, "--data", data]).output),
            (
                "a name that does not exist",
                try await binary.run(["nodes", "revoke", Self.evil, "--data", data]).errors
            ),
            ("an unknown table", try await binary.run(["sync", "--table", Self.evil, "--data", data]).errors),
        ] {
            #expect(!output.isEmpty, "\(name)")
            let isSafe = output.unicodeScalars.allSatisfy { scalar in
                scalar == "\n"
                    || (scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value) && scalar != "\u{202E}")
            }
            #expect(isSafe, "\(name): \(output.debugDescription)")
            #expect(!output.split(separator: "\n").contains { $0.hasPrefix("forged") }, "\(name)")
        }
        let json = try await binary.run(["why", "patients/" + Self.evil, "--data", data, "--json"])
        let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
        #expect(object?["recordId"] as? String == Self.evil)
        #expect(await agent.stop() == 0)
        try binary.clean()
    }

    @Test("a node whose files other accounts may replace does not start; an open database is named")
    func permissions() async throws {
        let binary = try Binary()
        let data = binary.data()
        _ = try await binary.run(["init", "--data", data])
        func change(_ path: String, _ mode: Int) throws {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }
        for (path, open, closed) in [
            ("/api.token", 0o644, 0o600), ("/api.token", 0o602, 0o600), ("", 0o777, 0o700), ("/run", 0o707, 0o700),
        ] {
            try change(data + path, open)
            try await self.expectRefused(binary, data, contains: ["Other accounts", "chmod", data + path])
            try change(data + path, closed)
        }
        // A group may share the node.
        try change(data, 0o2770)
        try change(data + "/api.token", 0o640)
        try change(data + "/clinic.db", 0o666)
        let agent = try await Agent(binary, data: data)
        #expect(agent.errors.contains("Every account of this PC may use clinic.db"))
        let status = try await binary.run(["status", "--data", data, "--json"])
        #expect(status.output.contains("chmod o-rwx"), "\(status.errors)")
        try change(data + "/clinic.db", 0o660)
        for suffix in ["-wal", "-shm"] { try change(data + "/clinic.db" + suffix, 0o660) }
        #expect(try await !binary.run(["status", "--data", data, "--json"]).output.contains("chmod o-rwx"))
        #expect(await agent.stop() == 0)
        try binary.clean()
    }

    @Test("a symbolic link in the place of a node's file is refused, and what it names is left alone")
    func links() async throws {
        let binary = try Binary()
        let data = binary.data()
        _ = try await binary.run(["init", "--data", data])
        let victim = binary.folder.appendingPathComponent("victim")
        let content = Data("not the node's".utf8)
        try content.write(to: victim)
        let manager = FileManager.default
        for name in ["clinic.db-numbers", "run/lock", "api.token", "identity/identity.json"] {
            let path = data + "/" + name
            let saved = path + ".saved"
            if manager.fileExists(atPath: path) { try manager.moveItem(atPath: path, toPath: saved) }
            try manager.createSymbolicLink(atPath: path, withDestinationPath: victim.path)
            try await self.expectRefused(binary, data, contains: ["symbolic link", name])
            #expect(try Data(contentsOf: victim) == content)
            try manager.removeItem(atPath: path)
            if manager.fileExists(atPath: saved) { try manager.moveItem(atPath: saved, toPath: path) }
        }
        let agent = try await Agent(binary, data: data)
        #expect(await agent.stop() == 0)
        try binary.clean()
    }
}
