import ClinicSync
import ClinicSyncTestKit
import Foundation
import NIOConcurrencyHelpers
import Testing

/// A member of a test clinic that runs the built program as a process of its own.
final class BinaryNode: Sendable {
    let directory: URL
    let database: TestDatabase
    let id: String
    private let clinic: TestClinic
    private let process: NIOLockedValueBox<RunningProcess?>

    /// Makes a member and runs it.
    static func join(_ clinic: TestClinic, name: String) async throws -> BinaryNode {
        let directory = clinic.host.directory.deletingLastPathComponent().appending(path: name)
        try await ClinicNode.join(try await clinic.invite(), in: directory, nodeName: name)
        let node = try BinaryNode(clinic, directory)
        try await node.run()
        return node
    }

    private init(_ clinic: TestClinic, _ directory: URL) throws {
        self.clinic = clinic
        self.directory = directory
        self.database = try TestDatabase(url: directory.appending(path: "clinic.db"))
        let identity = try JSONSerialization.jsonObject(
            with: Data(contentsOf: directory.appending(path: "identity/identity.json"))
        )
        self.id = try #require((identity as? [String: Any])?["nodeID"] as? String)
        self.process = NIOLockedValueBox(nil)
    }

    /// Starts the program and returns when it prints `ready`.
    func run() async throws {
        let tests = URL(filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        let program = tests.deletingLastPathComponent().appending(path: "clinic-node").path
        let arguments = [
            "run", "--data", self.directory.path, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0",
            "--discovery", "off",
        ]
        let process = try RunningProcess(program, arguments)
        self.process.withLockedValue { $0 = process }
        try await self.clinic.wait(for: "the program to be ready") {
            try process.errors.split(separator: "\n").contains("ready")
        }
    }

    /// Sends the program a signal.
    func signal(_ signal: Int32) { self.process.withLockedValue { $0 }?.signal(signal) }

    /// Ends the program with SIGKILL and waits for its end.
    func kill() async throws {
        self.signal(SIGKILL)
        _ = try await self.process.withLockedValue { $0 }?.outcome()
    }

    /// Stops the program gracefully and returns its exit status.
    func terminate() async throws -> Int32 {
        self.signal(SIGTERM)
        return try await self.process.withLockedValue { $0 }?.outcome().status ?? -1
    }
}
