import ArgumentParser
import ClinicSync
import ClinicSyncModel
import Foundation
import Glibc
import NIOHTTP1

/// Which node a command is about.
struct DataOptions: ParsableArguments {
    @Option(
        name: .customLong("data"),
        help: ArgumentHelp("The node's directory.", valueName: "dir"),
        completion: .directory
    )
    var path: String?

    /// The directory, by flag, environment or default.
    func directory() throws -> NodeDirectory {
        try NodeDirectory.locate(
            flag: self.path,
            environment: ProcessInfo.processInfo.environment,
            isRoot: geteuid() == 0
        )
    }
}

extension DataOptions {
    /// The directory, for commands that make the node's files: root acts as the account to which the directory belongs.
    ///
    /// - Parameter isForGood: whether the command needs nothing of root any more.
    /// - Returns: The directory.
    /// - Throws: ``ClinicSyncError`` of code `configuration` or `permission`.
    func ownDirectory(isForGood: Bool = true) throws -> NodeDirectory {
        let directory = try self.directory()
        try directory.becomeOwner(isForGood: isForGood)
        return directory
    }

    /// The directory, for a command that makes a node and starts the service when that is wanted.
    func newDirectory(isService: Bool) throws -> NodeDirectory {
        if isService { try SystemService.require(for: try self.directory()) }
        return try self.ownDirectory(isForGood: !isService)
    }

    /// How long a node may take to answer, when a command says nothing else.
    private static let answerLimit = Duration.seconds(30)

    /// Sends a request to the running node and returns its answer.
    ///
    /// - Throws: ``ClinicSyncError``: the node's own error, `notReachable`, or `timeout`.
    func request<Answer: Decodable>(
        _ method: HTTPMethod,
        _ path: String,
        query: [(name: String, value: String)] = [],
        body: (any Encodable)? = nil,
        timeout: Duration = answerLimit
    ) async throws -> Answer {
        let body = try body.map { try APICoding.encode($0) }
        let answer = try await LocalAPIClient(directory: self.directory())
            .send(method, path, query: query, body: body, timeout: timeout)
        return try APICoding.decode(Answer.self, from: answer)
    }

    /// Sends a request to the running node, whose answer says nothing but that it is done.
    ///
    /// - Throws: ``ClinicSyncError``: the node's own error, `notReachable`, or `timeout`.
    func order(_ method: HTTPMethod, _ path: String, query: [(name: String, value: String)] = []) async throws {
        _ = try await LocalAPIClient(directory: self.directory())
            .send(method, path, query: query, timeout: DataOptions.answerLimit)
    }
}

/// How a command prints its data.
struct OutputFormat: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Print JSON with stable keys.")
    var isJSON = false
}

extension Duration {
    /// Reads the value of an option.
    init(option name: String, _ text: String) throws {
        guard let duration = DurationText.parse(text) else {
            throw ValidationError("\(name) is a time such as 500ms, 30s, 15m or 8h, not \"\(text)\".")
        }
        self = duration
    }
}

extension NodeDirectory {
    /// The name a node gets when none is given: that of the PC.
    static func defaultNodeName() -> String {
        let name = ProcessInfo.processInfo.hostName.prefix { $0 != "." }
        return name.isEmpty ? "node" : String(name.prefix(DisplayName.bytesMax))
    }
}
