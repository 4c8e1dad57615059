import ClinicSync
import Foundation
import Glibc

/// Programs that benchmarks start, in this process's group, so that Ctrl-C reaches them too.
enum ChildProcess {
    /// Runs a program to its end and returns its output.
    static func output(of program: String, _ arguments: [String], in folder: String) throws -> String {
        let output = folder + "/command.out"
        let errors = folder + "/command.err"
        let process = try self.spawn(program, arguments, output: output, errors: errors)
        guard self.status(of: process) == 0 else {
            let text = try String(contentsOfFile: errors, encoding: .utf8)
            throw ClinicSyncError(.storage, "The benchmark's '\(arguments.first ?? "")' failed and said: \(text)")
        }
        return try String(contentsOfFile: output, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Sends a signal that ends the process, and waits for it.
    static func end(_ process: pid_t, by signal: Int32) {
        kill(process, signal)
        _ = self.status(of: process)
    }

    private static func status(of process: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return status
    }

    /// Starts a program; its output and errors go to these files.
    static func spawn(_ program: String, _ arguments: [String], output: String, errors: String) throws -> pid_t {
        let environment = ProcessInfo.processInfo.environment
            .filter { !$0.key.hasPrefix("CLINIC_NODE_") }
            .map { "\($0.key)=\($0.value)" }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let writing = O_WRONLY | O_CREAT | O_TRUNC
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, writing, 0o600)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, writing, 0o600)
        var process = pid_t()
        let code = self.withCStrings([program] + arguments) { arguments in
            self.withCStrings(environment) { environment in
                posix_spawn(&process, program, &actions, nil, arguments, environment)
            }
        }
        guard code == 0 else { throw AtomicFile.failure(code, doing: "start", path: program) }
        return process
    }

    /// Calls `body` with an array of C strings that ends with a null pointer.
    private static func withCStrings<Result>(
        _ texts: [String],
        _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let pointers = texts.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        return body(pointers + [nil])
    }
}
