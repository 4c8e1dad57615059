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

    /// Starts `run` with further options on a directory and returns when the node serves.
    convenience init(running directory: String, options: [String] = []) throws {
        try self.init(
            ["run", "--data", directory, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]
                + ["--discovery", "off"] + options,
            directory: directory
        )
    }

    /// Starts a command that keeps the node of a directory, and returns when the node serves.
    init(_ arguments: [String], directory: String, within patience: Duration = patience) throws {
        let errors = directory + ".log"
        self.database = directory + "/clinic.db"
        self.processID = try ChildProcess.spawn(NodeProcess.program(), arguments, output: "/dev/null", errors: errors)
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
        ChildProcess.end(self.processID, by: signal)
    }

    /// Runs a command of this program to its end and returns its output.
    static func output(of arguments: [String], in folder: String) throws -> String {
        try ChildProcess.output(of: self.program(), arguments, in: folder)
    }

    private static func program() throws -> String {
        try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    }

    /// Makes and starts nodes of these names, each in the directory of its name; the first is host, the others have the options.
    static func start(_ names: [String], clientOptions: [String] = [], in files: BenchFiles) throws -> [NodeProcess] {
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
            nodes.append(try NodeProcess(running: files.path(name), options: nodes.isEmpty ? [] : clientOptions))
        }
        return nodes
    }

    /// Starts a host and clients of these names; the clients are connected when this returns.
    static func clinic(of clients: [String], options: [String] = [], in files: BenchFiles) throws -> [NodeProcess] {
        let (folder, host) = (files.folder.path, files.path("host"))
        let nodes = try NodeProcess.start(["host"] + clients, clientOptions: options, in: files)
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

    /// Watches processes at rest, after a pause in which they come to rest.
    ///
    /// - Parameters:
    ///   - seconds: for how long; a short watch has a short pause.
    ///   - read: reads the seconds of the processor that each process has had.
    /// - Returns: What each of them needs, in percent of a core.
    /// - Throws: What `read` throws.
    static func shares(atRestFor seconds: Int, read: () throws -> [Double]) throws -> [Double] {
        usleep(UInt32(min(seconds, 4)) * 500_000)
        let before = try read()
        let clock = ContinuousClock()
        let start = clock.now
        usleep(UInt32(seconds) * 1_000_000)
        let after = try read()
        let took = (clock.now - start) / .seconds(1)
        return zip(before, after).map { ($1 - $0) / took * 100 }
    }

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
}
