import ClinicSync
import Foundation
import Glibc

/// A `clinic-node` of this very program in a process of its own.
///
/// Started in this process's group, so that Ctrl-C reaches it too.
final class NodeProcess {
    /// The process.
    let processID: pid_t
    /// The database it keeps, that of its first node when it has several.
    let database: String
    private var hasEnded = false

    /// How long a node may take to start or to stop.
    private static let patience = Duration.seconds(30)

    /// Starts `run` on a directory and returns when the node serves.
    convenience init(running directory: String) throws {
        try self.init(
            ["run", "--data", directory, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]
                + ["--discovery", "off"],
            directory: directory
        )
    }

    /// Starts a command that keeps the node of a directory, and returns when the node serves.
    init(_ arguments: [String], directory: String, within patience: Duration = patience) throws {
        let errors = directory + ".log"
        self.database = directory + "/clinic.db"
        self.processID = try NodeProcess.spawn(arguments, output: "/dev/null", errors: errors)
        try NodeProcess.wait("The node did not start: look at \(errors).", within: patience) {
            let text = try String(contentsOfFile: errors, encoding: .utf8)
            return text.hasPrefix("ready\n") || text.contains("\nready\n")
        }
    }

    deinit { self.stop() }

    /// Ends the node and waits for it; `SIGKILL` lets it finish nothing.
    func stop(signal: Int32 = SIGTERM) {
        guard !self.hasEnded else { return }
        self.hasEnded = true
        kill(self.processID, signal)
        var status: Int32 = 0
        while waitpid(self.processID, &status, 0) < 0, errno == EINTR {}
    }

    /// Runs a command to its end and returns its output.
    static func output(of arguments: [String], in folder: String) throws -> String {
        let output = folder + "/command.out"
        let errors = folder + "/command.err"
        let process = try self.spawn(arguments, output: output, errors: errors)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        guard status == 0 else {
            let text = try String(contentsOfFile: errors, encoding: .utf8)
            throw ClinicSyncError(.storage, "The benchmark's '\(arguments.first ?? "")' failed and said: \(text)")
        }
        return try String(contentsOfFile: output, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Makes and starts nodes of these names, each in the directory of its name; the first is host.
    static func start(_ names: [String], in files: BenchFiles) throws -> [NodeProcess] {
        let folder = files.folder.path
        var nodes: [NodeProcess] = []
        for name in names {
            let member = ["--data", files.path(name), "--name", name]
            if nodes.isEmpty {
                _ = try NodeProcess.output(of: ["init"] + member, in: folder)
            } else {
                let code = try NodeProcess.output(of: ["invite", "--data", files.path(names[0])], in: folder)
                _ = try NodeProcess.output(of: ["join", code] + member, in: folder)
            }
            nodes.append(try NodeProcess(running: files.path(name)))
        }
        return nodes
    }

    /// Starts a host and clients of these names; the clients are connected when this returns.
    static func clinic(of clients: [String], in files: BenchFiles) throws -> [NodeProcess] {
        let (folder, host) = (files.folder.path, files.path("host"))
        let nodes = try NodeProcess.start(["host"] + clients, in: files)
        try NodeProcess.wait("The benchmark's nodes did not connect.") {
            let text = try NodeProcess.output(of: ["status", "--data", host, "--json"], in: folder)
            return text.contains("\"activeConnections\":\(clients.count)")
        }
        return nodes
    }

    /// Looks every 20 ms, or after so many microseconds, until `condition` holds.
    static func wait(
        _ failure: String,
        within patience: Duration = patience,
        pause: UInt32 = 20_000,
        until condition: () throws -> Bool
    ) throws {
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        while try !condition() {
            guard clock.now < deadline else { throw ClinicSyncError(.timeout, failure) }
            usleep(pause)
        }
    }

    // MARK: - Resources

    /// Processor time used so far, in seconds, all threads; counted in hundredths.
    func processorSeconds() throws -> Double {
        let text = try String(contentsOfFile: "/proc/\(self.processID)/stat", encoding: .utf8)
        // The second field, the program's name, may hold spaces; the fields after it are numbers.
        let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
        guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else {
            throw ClinicSyncError(.notReachable, "A node of the benchmark ended too early: run the benchmark again.")
        }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Resident and proportional memory in MB, and that part of the resident memory which is no file's.
    func memory() throws -> (resident: Double, proportional: Double, anonymous: Double) {
        let text = try String(contentsOfFile: "/proc/\(self.processID)/smaps_rollup", encoding: .utf8)
        func megabytes(_ name: String) -> Double {
            let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            let kilobytes = line?.split(separator: " ").dropFirst().first.flatMap { Double($0) }
            return (kilobytes ?? 0) * 1_024 / 1_000_000
        }
        return (megabytes("Rss"), megabytes("Pss"), megabytes("Anonymous"))
    }

    // MARK: - Starting

    private static func spawn(_ arguments: [String], output: String, errors: String) throws -> pid_t {
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
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
