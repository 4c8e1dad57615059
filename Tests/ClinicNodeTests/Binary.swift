import Foundation
import Testing

/// The built program, run in the way that people and scripts run it.
struct Binary {
    /// The result of a run.
    struct Outcome {
        var status: Int32
        var output: String
        var errors: String
    }

    let folder: URL
    let environment: [String: String]

    /// Makes a folder for the program's files.
    init(environment: [String: String] = [:]) throws {
        self.folder = FileManager.default.temporaryDirectory.appendingPathComponent("clinic-node-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        self.environment = ["PATH": "/usr/bin:/bin", "HOME": self.folder.path].merging(environment) { $1 }
    }

    private init(folder: URL, environment: [String: String]) {
        self.folder = folder
        self.environment = environment
    }

    /// The same program and folder with another environment.
    func with(_ environment: [String: String]) -> Binary {
        Binary(folder: self.folder, environment: self.environment.merging(environment) { $1 })
    }

    /// The path of a node's directory.
    func data(_ name: String = "node") -> String { self.folder.appendingPathComponent(name).path }

    /// Removes the folder.
    func clean() throws { try FileManager.default.removeItem(at: self.folder) }

    /// Runs the program to its end; `input` is its standard input.
    func run(_ arguments: [String], input: String? = nil) async throws -> Outcome {
        let process = try self.makeProcess(arguments)
        guard let input else { return try await self.run(process) }
        let url = self.folder.appendingPathComponent(UUID().uuidString + ".in")
        try Data(input.utf8).write(to: url)
        let handle = try FileHandle(forReadingFrom: url)
        defer { try? handle.close() }
        process.standardInput = handle
        return try await self.run(process)
    }

    /// Runs another program of the search path to its end.
    func shell(_ name: String, _ arguments: [String]) async throws -> Outcome {
        let process = try self.makeProcess([name] + arguments)
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        return try await self.run(process)
    }

    /// Runs SQL on a node's file with the `sqlite3` program, under SQLite's defaults but for the time it waits for a lock.
    func sqlite3(_ data: String, _ sql: String) async throws -> Outcome {
        try await self.shell(
            "sqlite3",
            ["-batch", "-bail", "-init", "/dev/null", "-cmd", ".timeout 30000", data + "/clinic.db", sql]
        )
    }

    private func run(_ process: Process) async throws -> Outcome {
        let name = UUID().uuidString
        let output = self.folder.appendingPathComponent(name + ".out")
        let errors = self.folder.appendingPathComponent(name + ".err")
        for url in [output, errors] { try Data().write(to: url) }
        let handles = [try FileHandle(forWritingTo: output), try FileHandle(forWritingTo: errors)]
        defer { for handle in handles { try? handle.close() } }
        (process.standardOutput, process.standardError) = (handles[0], handles[1])
        let status = try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Int32, any Error>) in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        return Outcome(
            status: status,
            output: try String(contentsOf: output, encoding: .utf8),
            errors: try String(contentsOf: errors, encoding: .utf8)
        )
    }

    /// Asks until the condition holds; the test's time limit ends it.
    ///
    /// What other processes do to files and databases tells nobody that it was done, so there are pauses, from a
    /// millisecond to 20 of them.
    static func wait(until condition: () async throws -> Bool) async throws {
        var pause = Duration.milliseconds(1)
        while try await !condition() {
            try await Task.sleep(for: pause)
            pause = min(pause * 2, .milliseconds(20))
        }
    }

    /// A process that has not been started.
    func makeProcess(_ arguments: [String]) throws -> Process {
        let tests = URL(fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        let process = Process()
        process.executableURL = tests.deletingLastPathComponent().appendingPathComponent("clinic-node")
        process.arguments = arguments
        process.environment = self.environment
        process.standardInput = FileHandle.nullDevice
        return process
    }
}

/// A node that runs in the background.
final class Agent: Sendable {
    private let process: Process
    private let ended: AsyncStream<Int32>
    let errors: String

    /// Starts `run` on `data` and returns when the program prints `ready`.
    ///
    /// Its output goes to `log`, an existing file.
    init(_ binary: Binary, data: String, _ arguments: [String] = [], log: URL? = nil) async throws {
        let sink = try log.map { try FileHandle(forWritingTo: $0) }
        let process = try binary.makeProcess(
            ["run", "--data", data, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]
                + ["--discovery", "off"] + arguments
        )
        let pipe = Pipe()
        process.standardError = pipe
        process.standardOutput = FileHandle.nullDevice
        let (chunks, chunk) = AsyncStream<Data>.makeStream()
        pipe.fileHandleForReading.readabilityHandler = { handle in
            let data = handle.availableData
            try? sink?.write(contentsOf: data)
            if data.isEmpty { chunk.finish() } else { chunk.yield(data) }
        }
        let (ended, end) = AsyncStream<Int32>.makeStream()
        process.terminationHandler = {
            end.yield($0.terminationStatus)
            end.finish()
        }
        try process.run()
        var text = ""
        for await data in chunks {
            text += String(decoding: data, as: UTF8.self)
            if text.hasPrefix("ready\n") || text.contains("\nready\n") { break }
        }
        self.process = process
        self.ended = ended
        self.errors = text
    }

    var processID: Int32 { self.process.processIdentifier }

    /// Sends a signal and returns the exit status.
    func stop(_ signal: Int32 = SIGTERM) async -> Int32 {
        kill(self.process.processIdentifier, signal)
        return await self.exitStatus()
    }

    /// Waits for the end of the process and returns its exit status.
    func exitStatus() async -> Int32 {
        var iterator = self.ended.makeAsyncIterator()
        return await iterator.next() ?? -1
    }
}
