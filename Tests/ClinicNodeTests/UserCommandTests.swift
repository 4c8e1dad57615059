import ClinicSync
import ClinicSyncClinic
import Foundation
import Testing

@Suite("users, and the first of them", .timeLimit(.minutes(3))) struct UserCommandTests {
    /// The only user that a command printed as JSON, or the user of that name.
    private func user(_ name: String, in output: String) throws -> [String: Any]? {
        let object = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
        let users = try #require(object?["users"] as? [[String: Any]])
        return users.first { $0["username"] as? String == name }
    }

    /// The user's password as the table holds it.
    private func stored(_ name: String, _ data: String, _ binary: Binary) async throws -> String {
        let sql = "SELECT password FROM users WHERE username = '\(name)'"
        return try await binary.sqlite3(data, sql)
            .output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test("init without a terminal makes a password, shows it once on standard error, and keeps only its hash")
    func madePassword() async throws {
        let binary = try Binary()
        var seen: Set<String> = []
        for name in ["one", "two"] {
            let data = binary.data(name)
            let made = try await binary.run(["init", "--data", data])
            #expect(made.status == 0, "\(made.errors)")
            let match = try #require(made.errors.firstMatch(of: /The password of admin is ([a-z2-9-]+) and/))
            let password = String(match.1)
            seen.insert(password)
            #expect(made.errors.components(separatedBy: password).count == 2)
            #expect(!made.output.contains(password))
            let stored = try await self.stored("admin", data, binary)
            #expect(try PasswordHash.check(password, against: stored) == .matches(isWeak: false))
            for case let file as String in try #require(FileManager.default.enumerator(atPath: data)) {
                guard let content = FileManager.default.contents(atPath: data + "/" + file) else { continue }
                #expect(content.range(of: Data(password.utf8)) == nil, "\(file) holds the password")
            }
            let listed = try await binary.run(["users", "--data", data, "--json"])
            let admin = try #require(try self.user("admin", in: listed.output))
            #expect(admin["role"] as? String == "admin")
            #expect(admin["password"] as? String == "scrypt")
            #expect(admin["active"] as? Bool == true)
        }
        #expect(seen.count == 2)
        try binary.clean()
    }

    @Test("init takes the first user's name and password from the options, and refuses what can be none")
    func givenPassword() async throws {
        let binary = try Binary()
        let data = binary.data()
        let file = binary.data("password")
        try Data("ignored? no: nine9999\r\nsecond line\n".utf8).write(to: URL(fileURLWithPath: file))
        for (arguments, input) in [
            (["--admin-password-file", "-"], "short\n"), (["--admin-password-file", "-"], ""),
            (["--admin-password-file", "-"], "\n"), (["--admin", ""], nil), (["--admin", "a\nb"], nil),
        ] as [([String], String?)] {
            let refused = try await binary.run(["init", "--data", data] + arguments, input: input)
            #expect(refused.status == 64, "\(arguments) \(refused.errors)")
            #expect(refused.errors.split(separator: "\n").count == 1)
            #expect(!FileManager.default.fileExists(atPath: data))
        }
        let missing = try await binary.run(["init", "--data", data, "--admin-password-file", file + "x"])
        #expect(missing.status == 1)
        let made = try await binary.run(
            ["init", "--data", data, "--admin", "rosa", "--admin-password-file", file, "--json"]
        )
        #expect(made.status == 0, "\(made.errors)")
        #expect(made.errors.isEmpty)
        let stored = try await self.stored("rosa", data, binary)
        #expect(try PasswordHash.check("ignored? no: nine9999", against: stored) == .matches(isWeak: false))
        try binary.clean()
    }

    @Test("users are added and get passwords, whether the node runs or not")
    func addAndChange() async throws {
        let binary = try Binary()
        let data = binary.data()
        _ = try await binary.run(["init", "--data", data])
        let add = ["users", "add", "--data", data, "--role", "doctor", "--full-name", "Ana Santos"]
        let added = try await binary.run(add + ["ana", "--json"], input: "correct horse\n")
        #expect(added.status == 0, "\(added.errors)")
        let agent = try await Agent(binary, data: data)
        #expect(try await binary.run(add + ["ben"], input: "battery staple").status == 0)
        let taken = try await binary.run(add + ["ana"], input: "correct horse\n")
        #expect(taken.status == 1)
        #expect(taken.errors.contains("already"))
        #expect(try await binary.run(["users", "rename", "ben", "bert", "--data", data]).status == 0)
        #expect(try await binary.run(["users", "deactivate", "Bert", "--data", data]).status == 0)
        let reset = try await binary.run(["users", "reset", "bert", "--data", data, "--json"])
        #expect(reset.output.contains(#""username":"bert""#), "\(reset.errors)")
        let changed = try await binary.run(["users", "passwd", "ana", "--data", data], input: "another horse\n")
        #expect(changed.status == 0, "\(changed.errors)")
        let stored = try await self.stored("ana", data, binary)
        #expect(try PasswordHash.check("another horse", against: stored) == .matches(isWeak: false))
        let unknown = try await binary.run(["users", "passwd", "cleo", "--data", data], input: "another horse\n")
        #expect(unknown.status == 1)
        #expect(unknown.errors.contains("no user \"cleo\""))
        #expect(try await binary.run(["users", "passwd", "ana", "--data", data], input: "short\n").status == 64)
        #expect(try await binary.run(["users", "passwd", "ana", "--data", data]).status == 64)
        let listed = try await binary.run(["users", "--data", data]).output
        #expect(listed.split(separator: "\n").count == 4)
        #expect(listed.contains("Ana Santos"))
        #expect(listed.contains(/bert .* no +scrypt/))
        #expect(await agent.stop() == 0)
        try binary.clean()
    }

    @Test("users says what was called wrongly")
    func usage() async throws {
        let binary = try Binary()
        let data = binary.data()
        #expect(try await binary.run(["users", "--data", data]).status == 78)
        _ = try await binary.run(["init", "--data", data])
        for arguments in [
            ["add", "ana"], ["add", "ana", "--role", "nurse"], ["add", "--role", "doctor"], ["passwd"],
        ] {
            let outcome = try await binary.run(["users"] + arguments + ["--data", data], input: "correct horse\n")
            #expect(outcome.status == 64, "\(arguments)")
        }
        let spaced = try await binary.run(
            ["users", "add", " ana", "--role", "doctor", "--data", data],
            input: "correct horse\n"
        )
        #expect(spaced.status == 64)
        #expect(try await binary.run(["users", "--data", data]).output.split(separator: "\n").count == 2)
        try binary.clean()
    }

    /// Runs the program on a terminal of its own, and types each line after its prompt.
    private static let typist = """
        import os, pty, sys
        answers = sys.argv[1].split("|"); command = sys.argv[2:]
        child, terminal = pty.fork()
        if child == 0:
            os.execv(command[0], command)
        seen = b""
        waiting = b""
        while True:
            try:
                data = os.read(terminal, 1024)
            except OSError:
                break
            if not data:
                break
            seen += data
            waiting += data
            if answers and waiting.rstrip(b" ").endswith(b":"):
                os.write(terminal, answers.pop(0).encode() + b"\\n")
                waiting = b""
        sys.stdout.write(seen.decode())
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """

    private func type(_ answers: [String], _ arguments: [String], _ binary: Binary) async throws -> Binary.Outcome {
        let program = try #require(try binary.makeProcess([]).executableURL?.path)
        return try await binary.shell(
            "python3",
            ["-c", UserCommandTests.typist, answers.joined(separator: "|"), program] + arguments
        )
    }

    @Test("on a terminal a password is typed twice and never shown")
    func terminal() async throws {
        let binary = try Binary()
        let data = binary.data()
        let made = try await self.type(
            ["rosa", "correct horse", "correct horse"],
            ["init", "--data", data],
            binary
        )
        #expect(made.status == 0, "\(made.output)")
        #expect(made.output.contains("first administrator [admin]"))
        #expect(!made.output.contains("correct"))
        let stored = try await self.stored("rosa", data, binary)
        #expect(try PasswordHash.check("correct horse", against: stored) == .matches(isWeak: false))
        let differing = try await self.type(
            ["another horse", "another house"],
            ["users", "passwd", "rosa", "--data", data],
            binary
        )
        #expect(differing.status == 64)
        #expect(differing.output.contains("differ"))
        // Backspace removes a letter. Ctrl-C ends the command.
        let corrected = try await self.type(
            ["another horsé\u{7F}e", "another horse"],
            ["users", "passwd", "rosa", "--data", data],
            binary
        )
        #expect(corrected.status == 0, "\(corrected.output)")
        let changed = try await self.stored("rosa", data, binary)
        #expect(try PasswordHash.check("another horse", against: changed) == .matches(isWeak: false))
        // A password that is too short is asked for again.
        let short = try await self.type(
            ["short", "a longer horse", "a longer horse"],
            ["users", "passwd", "rosa", "--data", data],
            binary
        )
        #expect(short.status == 0, "\(short.output)")
        #expect(short.output.contains("at least 8 characters"))
        let longer = try await self.stored("rosa", data, binary)
        #expect(try PasswordHash.check("a longer horse", against: longer) == .matches(isWeak: false))
        let broken = try await self.type(["abc\u{3}"], ["users", "passwd", "rosa", "--data", data], binary)
        #expect(broken.status == 64)
        #expect(try await self.stored("rosa", data, binary) == longer)
        try binary.clean()
    }
}
