import ArgumentParser
import ClinicSync
import Foundation
import Glibc

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
        return name.isEmpty ? "node" : String(name.prefix(NodeSetup.nameBytesMax))
    }
}
