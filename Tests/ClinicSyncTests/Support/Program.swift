import Foundation

/// Another process, run to its end.
enum Program {
    struct Output: Sendable {
        let status: Int32
        let standardOutput: String
        let standardError: String
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Runs a program of the search path and waits for its end.
    ///
    /// Its output goes through files, so that no amount of it can block the program.
    static func run(_ name: String, _ arguments: [String] = [], input: String = "") throws -> Output {
        let directory = try TemporaryDirectory()
        let files = ["in", "out", "err"].map(directory.file)
        try Data(input.utf8).write(to: files[0])
        for file in files.dropFirst() { try Data().write(to: file) }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [name] + arguments
        process.standardInput = try FileHandle(forReadingFrom: files[0])
        process.standardOutput = try FileHandle(forWritingTo: files[1])
        process.standardError = try FileHandle(forWritingTo: files[2])
        try process.run()
        process.waitUntilExit()
        return Output(
            status: process.terminationStatus,
            standardOutput: String(decoding: try Data(contentsOf: files[1]), as: UTF8.self),
            standardError: String(decoding: try Data(contentsOf: files[2]), as: UTF8.self)
        )
    }

    /// Runs SQL on a file with the `sqlite3` program and returns what it prints.
    ///
    /// Its settings are SQLite's defaults: foreign keys off, recursive triggers off.
    @discardableResult
    static func sqlite3(_ file: URL, _ sql: String) throws -> String {
        let output = try self.run(
            "sqlite3",
            ["-batch", "-bail", "-init", "/dev/null", file.path()],
            input: ".timeout 10000\n" + sql
        )
        return try self.checked("sqlite3", output)
    }

    /// Runs a Python script with `file` as its first argument and returns what it prints.
    @discardableResult
    static func python(_ file: URL, _ script: String) throws -> String {
        try self.checked("python3", try self.run("python3", ["-c", script, file.path()]))
    }

    private static func checked(_ name: String, _ output: Output) throws -> String {
        guard output.status == 0 else {
            throw Failure(description: "\(name) ended with \(output.status): \(output.standardError)")
        }
        return output.standardOutput.trimmingCharacters(in: .newlines)
    }
}
