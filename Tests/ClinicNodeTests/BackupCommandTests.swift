import Foundation
import Testing

/// Backups, restores, and databases that are gone, with the built program.
@Suite(.timeLimit(.minutes(2)), .serialized) struct BackupCommandTests {
    private func patients(_ binary: Binary, _ data: String) async throws -> [String] {
        let outcome = try await binary.sqlite3(data, "SELECT id FROM patients ORDER BY id")
        return outcome.output.split(separator: "\n").map(String.init)
    }

    private func insert(_ binary: Binary, _ data: String, _ id: String) async throws {
        let outcome = try await binary.sqlite3(data, "INSERT INTO patients(id) VALUES ('\(id)')")
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    @Test("a backup of a running node brings another PC back, and a deleted or foreign database comes from the others")
    func backupAndRestore() async throws {
        let binary = try Binary()
        let (host, lab) = (binary.data("host"), binary.data("lab"))
        #expect(try await binary.run(["init", "--data", host]).status == 0)
        let agent = try await Agent(binary, data: host)
        let code = try await binary.run(["invite", "--data", host]).output.trimmingCharacters(in: .newlines)
        #expect(try await binary.run(["join", code, "--data", lab, "--name", "lab"]).status == 0)
        for id in ["deleted", "kept"] { try await self.insert(binary, host, id) }
        let file = binary.data("clinic.backup")
        let made = try await binary.run(["backup", file, "--data", host, "--json"])
        #expect(made.status == 0, "\(made.errors)")
        let object = try JSONSerialization.jsonObject(with: Data(made.output.utf8)) as? [String: Any]
        #expect(object?["file"] as? String == file)
        #expect((object?["bytes"] as? Int) ?? 0 > 100_000)
        let again = try await binary.run(["backup", file, "--data", host])
        #expect(again.status == 1)
        #expect(again.errors.contains("is there already"))
        #expect(try await binary.run(["backup", host + "/clinic.db", "--data", host]).status == 64)
        let running = try await binary.run(["restore", file, "--data", host])
        #expect(running.status == 1)
        #expect(running.errors.contains("already running"))
        _ = try await binary.sqlite3(host, "DELETE FROM patients WHERE id = 'deleted'")
        try await self.insert(binary, host, "new")
        // The other PC was never started: the backup is the first that it gets.
        try await self.insert(binary, lab, "of the lab")
        let restored = try await binary.run(["restore", file, "--data", lab])
        #expect(restored.status == 0, "\(restored.errors)")
        #expect(try await self.patients(binary, lab) == ["deleted", "kept", "of the lab"])
        let first = try await Agent(binary, data: lab)
        for data in [host, lab] {
            try await Binary.wait { try await self.patients(binary, data) == ["kept", "new", "of the lab"] }
        }
        // The lab's node has written down that the host is a member that runs.
        let members = lab + "/identity/members.json"
        try await Binary.wait {
            try String(contentsOfFile: members, encoding: .utf8).components(separatedBy: "\"statement\"").count == 3
        }
        #expect(await first.stop() == 0)
        for suffix in ["", "-wal", "-shm"] {
            _ = Result { try FileManager.default.removeItem(atPath: lab + "/clinic.db" + suffix) }
        }
        _ = try await binary.sqlite3(lab, "CREATE TABLE notes(text); INSERT INTO notes VALUES ('of a program')")
        let second = try await Agent(binary, data: lab)
        #expect(second.errors.contains("was made again"))
        try await Binary.wait { try await self.patients(binary, lab) == ["kept", "new", "of the lab"] }
        let names = try FileManager.default.contentsOfDirectory(atPath: lab)
        #expect(names.count { $0.hasPrefix("clinic.db.set-aside-") } == 2)
        #expect(await second.stop() == 0)
        // A page of a table is garbage: the node finds it, ends, and makes the file again at its next start.
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'patients'"
        let root = try await binary.sqlite3(lab, sql).output.trimmingCharacters(in: .whitespacesAndNewlines)
        let page = try #require(UInt64(root))
        let handle = try FileHandle(forWritingTo: URL(filePath: lab + "/clinic.db"))
        try handle.seek(toOffset: (page - 1) * 2_048)
        try handle.write(contentsOf: Data(repeating: 0xEE, count: 2_048))
        try handle.close()
        let third = try await Agent(binary, data: lab)
        #expect(try await binary.run(["sync", "--data", lab]).status == 1)
        #expect(await third.exitStatus() == 1)
        let fourth = try await Agent(binary, data: lab)
        #expect(fourth.errors.contains("was made again"))
        try await Binary.wait { try await self.patients(binary, lab) == ["kept", "new", "of the lab"] }
        #expect(await fourth.stop() == 0)
        #expect(await agent.stop() == 0)
        try binary.clean()
    }

    @Test("all PCs go back to a backup, a PC that was off too; what is set aside comes back when a person wants it")
    func wholeClinic() async throws {
        let binary = try Binary()
        let names = ["host", "lab", "away"]
        let data = names.map { binary.data($0) }
        let ports = (0..<3).map { Int.random(in: 20_000..<31_000) / 3 * 3 + $0 }
        func start(_ index: Int) async throws -> Agent {
            let peers = ports.filter { $0 != ports[index] }.flatMap { ["--peer", "127.0.0.1:\($0)"] }
            return try await Agent(binary, data: data[index], ["--listen", "127.0.0.1:\(ports[index])"] + peers)
        }
        #expect(try await binary.run(["init", "--data", data[0]]).status == 0)
        var host = try await start(0)
        for index in 1...2 {
            let code = try await binary.run(["invite", "--data", data[0]]).output.trimmingCharacters(in: .newlines)
            #expect(try await binary.run(["join", code, "--data", data[index], "--name", names[index]]).status == 0)
        }
        let lab = try await start(1)
        var away = try await start(2)
        try await self.insert(binary, data[1], "before")
        for data in data { try await Binary.wait { try await self.patients(binary, data) == ["before"] } }
        let file = binary.data("clinic.backup")
        #expect(try await binary.run(["backup", file, "--data", data[0]]).status == 0)
        try await self.insert(binary, data[0], "after")
        for data in data { try await Binary.wait { try await self.patients(binary, data) == ["after", "before"] } }
        #expect(await away.stop() == 0)
        try await self.insert(binary, data[2], "away")
        #expect(await host.stop() == 0)
        let act = ["restore", file, "--data", data[0], "--whole-clinic"]
        let unasked = try await binary.run(act)
        #expect(unasked.status == 64 && unasked.errors.contains("--yes"))
        let notAllowed = try await binary.run(["restore", file, "--data", data[2], "--whole-clinic", "--yes"])
        #expect(notAllowed.status == 1 && notAllowed.errors.contains("right to sign"))
        let done = try await binary.run(act + ["--yes", "--json"])
        #expect(done.status == 0, "\(done.errors)")
        let object = try JSONSerialization.jsonObject(with: Data(done.output.utf8)) as? [String: Any]
        #expect(object?["epoch"] as? Int == 1)
        #expect((object?["differences"] as? [[String: Any]])?.contains { $0["table"] as? String == "patients" } == true)
        host = try await start(0)
        // The lab's node runs: it starts again by itself.
        try await Binary.wait { try await self.patients(binary, data[1]) == ["before"] }
        away = try await start(2)
        try await Binary.wait { try await self.patients(binary, data[2]) == ["before"] }
        let files = try FileManager.default.contentsOfDirectory(atPath: data[2]).sorted()
        let aside = try #require(files.first { $0.hasPrefix("clinic.db.set-aside-") })
        let status = try await binary.run(["status", "--data", data[2]])
        #expect(status.output.contains(aside), "\(status.output)")
        #expect(await away.stop() == 0)
        let merged = try await binary.run(["restore", data[2] + "/" + aside, "--data", data[2]])
        #expect(merged.status == 0 && merged.errors.contains("all PCs will have again"), "\(merged.errors)")
        away = try await start(2)
        for data in data {
            try await Binary.wait { try await self.patients(binary, data) == ["after", "away", "before"] }
        }
        for agent in [away, lab, host] { #expect(await agent.stop() == 0) }
        try binary.clean()
    }

    @Test("the only PC of a clinic does not begin an empty clinic when its database is gone")
    func alone() async throws {
        let binary = try Binary()
        let data = binary.data()
        #expect(try await binary.run(["init", "--data", data]).status == 0)
        try await self.insert(binary, data, "p1")
        let file = binary.data("clinic.backup")
        #expect(try await binary.run(["backup", file, "--data", data]).status == 0)
        for suffix in ["", "-wal", "-shm"] {
            _ = Result { try FileManager.default.removeItem(atPath: data + "/clinic.db" + suffix) }
        }
        try Data().write(to: URL(filePath: data + "/clinic.db"))
        let run = ["run", "--data", data, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--discovery", "off"]
        let outcome = try await binary.run(run)
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("clinic-node restore FILE"))
        #expect(try await binary.run(["restore", file, "--data", data]).status == 0)
        let agent = try await Agent(binary, data: data)
        #expect(try await self.patients(binary, data) == ["p1"])
        #expect(await agent.stop() == 0)
        try binary.clean()
    }
}
