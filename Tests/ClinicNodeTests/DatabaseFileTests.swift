import Foundation
import Testing

/// The database file is moved, overwritten or deleted under a running agent.
@Suite(.timeLimit(.minutes(1)), .serialized) struct DatabaseFileTests {
    private func count(_ binary: Binary, _ database: String) async throws -> String {
        let sql = "SELECT count(*) FROM patients"
        let outcome = try await binary.shell("sqlite3", ["-cmd", ".timeout 10000", database, sql])
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test("an agent whose database is moved, overwritten or deleted ends with one sentence, and nothing is lost")
    func movedOverwrittenAndDeleted() async throws {
        let binary = try Binary()
        let data = binary.data()
        let database = data + "/clinic.db"
        #expect(try await binary.run(["init", "--data", data]).status == 0)
        let log = URL(fileURLWithPath: binary.data("log"))
        #expect(FileManager.default.createFile(atPath: log.path, contents: nil))
        let first = try await Agent(binary, data: data, log: log)
        let sql = "INSERT INTO patients(id) VALUES ('before')"
        _ = try await binary.shell("sqlite3", ["-cmd", ".timeout 10000", database, sql])
        try FileManager.default.moveItem(atPath: database, toPath: data + "/elsewhere.db")
        #expect(await first.exitStatus() == 1)
        try await Binary.wait {
            try String(contentsOf: log, encoding: .utf8).contains("was moved or deleted while the node ran")
        }
        try FileManager.default.moveItem(atPath: data + "/elsewhere.db", toPath: database)
        let second = try await Agent(binary, data: data, log: log)
        #expect(try await self.count(binary, database) == "1")
        let backup = binary.data("backup.db")
        func sqlite(_ command: String) async throws -> String {
            try await binary.shell("sqlite3", ["-cmd", ".timeout 10000", database, command]).output
        }
        _ = try await sqlite(".backup \(backup)")
        _ = try await sqlite("INSERT INTO patients(id) VALUES ('after')")
        try await Binary.wait { try await sqlite("SELECT count(*) FROM clinicsync_dirty") == "0\n" }
        _ = try await sqlite(".restore \(backup)")
        #expect(await second.exitStatus() == 1)
        try await Binary.wait {
            try String(contentsOf: log, encoding: .utf8).contains("was overwritten while the node ran")
        }
        let third = try await Agent(binary, data: data, log: log)
        #expect(try await self.count(binary, database) == "1")
        try FileManager.default.removeItem(atPath: database)
        #expect(await third.exitStatus() == 1)
        try await Binary.wait {
            try String(contentsOf: log, encoding: .utf8).contains("is saved in \(database).rescued")
        }
        #expect(try await self.count(binary, database + ".rescued") == "1")
        let attributes = try FileManager.default.attributesOfItem(atPath: database + ".rescued")
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        try binary.clean()
    }
}
