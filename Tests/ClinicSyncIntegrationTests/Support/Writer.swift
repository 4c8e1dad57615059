import Foundation

/// A process that writes a node's file: the `sqlite3` program or Python.
enum Writer {
    /// The error output of a failed process.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Runs SQL with the `sqlite3` program, under SQLite's defaults, and returns what it prints.
    @discardableResult
    static func sqlite3(_ path: String, _ sql: String) async throws -> String {
        try await self.run(
            ["sqlite3", "-batch", "-bail", "-init", "/dev/null", path],
            input: ".timeout 30000\n" + sql
        )
    }

    /// Runs a Python script, with a connection `db` to the file that commits by `with db:`, and returns what it prints.
    @discardableResult
    static func python(_ path: String, _ script: String) async throws -> String {
        let prelude = "import sqlite3, sys, time\ndb = sqlite3.connect(sys.argv[1], timeout=30)\n"
        return try await self.run(["python3", "-", path], input: prelude + script)
    }

    private static func run(_ arguments: [String], input: String) async throws -> String {
        let process = try RunningProcess("/usr/bin/env", arguments, input: input)
        let outcome = try await process.outcome()
        guard outcome.status == 0 else {
            throw Failure(description: "\(arguments[0]) ended with \(outcome.status): \(outcome.errors)")
        }
        return outcome.output.trimmingCharacters(in: .newlines)
    }
}
