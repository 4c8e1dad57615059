import Foundation
import Testing

@Suite("Secrets of users", .timeLimit(.minutes(2))) struct SecretTests {
    @Test("passwords and tokens, right and wrong ones, stand in no log, no file and no answer")
    func nowhere() async throws {
        let binary = try Binary()
        let data = binary.data()
        let (right, wrong) = ("correct horse battery", "incorrect donkey staple")
        let made = try await binary.run(["init", "--data", data, "--admin-password-file", "-"], input: right + "\n")
        #expect(made.status == 0, "\(made.errors)")
        let log = binary.folder.appendingPathComponent("agent.log")
        try Data().write(to: log)
        let agent = try await Agent(binary, data: data, ["--log-level", "trace"], log: log)
        let login = ["sessions", "login", "admin", "--data", data]
        var answers: [Binary.Outcome] = []
        let refused = try await binary.run(login, input: wrong + "\n")
        #expect(refused.status != 0)
        answers.append(refused)
        let granted = try await binary.run(login + ["--json"], input: right + "\n")
        #expect(granted.status == 0, "\(granted.errors)")
        let grant = try JSONSerialization.jsonObject(with: Data(granted.output.utf8)) as? [String: Any]
        let token = try #require(grant?["token"] as? String)
        #expect(token.count >= 32)
        let add = ["users", "add", "ana", "--role", "doctor", "--data", data]
        answers.append(try await binary.run(add, input: wrong + "\n"))
        for command in ["status", "sessions", "users", "digest", "nodes"] {
            answers.append(try await binary.run([command, "--data", data, "--json"]))
        }
        for answer in answers {
            for secret in [right, wrong, token] { #expect(!(answer.output + answer.errors).contains(secret)) }
        }
        #expect(await agent.stop() == 0)
        let files = try #require(FileManager.default.enumerator(atPath: data)).compactMap { $0 as? String }
        #expect(files.contains("clinic.db"))
        #expect(try Data(contentsOf: log).count > 1_000)
        for path in files.map({ data + "/" + $0 }) + [log.path] {
            guard let content = FileManager.default.contents(atPath: path) else { continue }
            for secret in [right, wrong, token] {
                #expect(content.range(of: Data(secret.utf8)) == nil, "\(path) holds a secret")
            }
        }
        try binary.clean()
    }
}
