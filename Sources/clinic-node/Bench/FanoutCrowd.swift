import ArgumentParser
import ClinicSync
import Foundation
import Logging
import NIOConcurrencyHelpers
import ServiceLifecycle

/// `bench crowd`: many nodes in one process, started by `bench fanout`.
///
/// 200 processes would need the memory of 200 programs, and measure the system's scheduler.
struct FanoutCrowd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crowd",
        abstract: "Run many nodes in this process: a part of 'bench fanout'.",
        shouldDisplay: false
    )

    @Argument(help: "The join code.") var code: String
    @Option(name: .customLong("in"), help: "The folder of the nodes' directories.") var folder: String
    @Option(help: "The number of the first node.") var first: Int
    @Option(help: "How many nodes.") var count: Int

    /// The directory of a node.
    static func directory(_ number: Int, in folder: String) -> String { "\(folder)/node\(number)" }

    func run() async throws {
        let logger = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        let missing = NIOLockedValueBox(self.count)
        var nodes: [ClinicNode] = []
        for number in self.first..<self.first + self.count {
            let directory = URL(fileURLWithPath: FanoutCrowd.directory(number, in: self.folder))
            try await ClinicNode.join(self.code, in: directory, nodeName: "node\(number)")
            var configuration = NodeConfiguration()
            configuration.listen = NetworkAddress(host: "127.0.0.1", port: 0)
            configuration.api = NetworkAddress(host: "127.0.0.1", port: 0)
            configuration.discovery = .off
            configuration.priority = 0
            nodes.append(
                try ClinicNode(directory: directory, configuration: configuration, logger: logger) { _ in
                    let left = missing.withLockedValue { count in
                        count -= 1
                        return count
                    }
                    if left == 0 { Output.report("ready") }
                }
            )
        }
        try await ServiceGroup(services: nodes, logger: logger).run()
    }
}
