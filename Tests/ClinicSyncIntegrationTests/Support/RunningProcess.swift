import Foundation

/// Another process.
///
/// Its input and output are files, so that no amount of data can block it.
final class RunningProcess: Sendable {
    /// The result of a process.
    struct Outcome: Sendable {
        var status: Int32
        var output: String
        var errors: String
    }

    private let process: Process
    private let folder: URL
    private let ended: AsyncStream<Int32>

    /// Starts a program.
    init(_ program: String, _ arguments: [String], input: String = "") throws {
        self.folder = FileManager.default.temporaryDirectory.appending(path: "process-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        for (name, text) in [("in", input), ("out", ""), ("err", "")] {
            try Data(text.utf8).write(to: self.folder.appending(path: name))
        }
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.standardInput = try FileHandle(forReadingFrom: self.folder.appending(path: "in"))
        process.standardOutput = try FileHandle(forWritingTo: self.folder.appending(path: "out"))
        process.standardError = try FileHandle(forWritingTo: self.folder.appending(path: "err"))
        let (ended, end) = AsyncStream<Int32>.makeStream(bufferingPolicy: .bufferingNewest(1))
        process.terminationHandler = {
            end.yield($0.terminationStatus)
            end.finish()
        }
        try process.run()
        self.process = process
        self.ended = ended
    }

    deinit {
        // A process must not outlive a failed test.
        if self.process.isRunning { Foundation.kill(self.process.processIdentifier, SIGKILL) }
        try? FileManager.default.removeItem(at: self.folder)
    }

    /// The process's number.
    var identifier: Int { Int(self.process.processIdentifier) }

    /// The process's standard output so far.
    var output: String { get throws { try self.text("out") } }

    /// The process's standard error so far.
    var errors: String { get throws { try self.text("err") } }

    /// Sends the process a signal.
    func signal(_ signal: Int32) { Foundation.kill(self.process.processIdentifier, signal) }

    /// Waits for the end of the process.
    func outcome() async throws -> Outcome {
        var status: Int32 = -1
        for await value in self.ended { status = value }
        return Outcome(status: status, output: try self.output, errors: try self.errors)
    }

    private func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: self.folder.appending(path: name)), as: UTF8.self)
    }
}
