import ArgumentParser
import ClinicSync
import Foundation
import Logging
import ServiceLifecycle
import UnixSignals

/// The settings of the agent as flags.
struct ConfigurationOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Where other nodes connect; port 0 picks a free one.", valueName: "addr:port"))
    var listen: String?
    @Option(help: ArgumentHelp("Where the local API listens; port 0 picks a free one.", valueName: "addr:port"))
    var api: String?
    @Option(
        name: .customLong("peer"),
        parsing: .singleValue,
        help: ArgumentHelp("Another address at which the host may be; may be repeated.", valueName: "addr:port")
    )
    var peers: [String] = []
    @Flag(inversion: .prefixedNo, help: "Refuse nodes outside of private address ranges.")
    var lanOnly: Bool?
    @Option(help: ArgumentHelp("How the node finds others: auto, avahi or off.", valueName: "mode"))
    var discovery: String?
    @Option(help: ArgumentHelp("How much this node is preferred as host, from 0 (never) to 1000.", valueName: "n"))
    var priority: String?
    @Option(help: ArgumentHelp("The time between two reconciliations.", valueName: "time"))
    var reconcileEvery: String?
    @Option(help: ArgumentHelp("trace, debug, info, notice, warning, error or critical.", valueName: "level"))
    var logLevel: String?
    @Option(help: ArgumentHelp("Write the log to this file, with rotation; not to standard error.", valueName: "file"))
    var logFile: String?

    /// The flags that were given.
    var flags: [ConfigurationKey: [String]] {
        var flags = [ConfigurationKey: [String]]()
        flags[.listen] = self.listen.map { [$0] }
        flags[.api] = self.api.map { [$0] }
        flags[.peers] = self.peers.isEmpty ? nil : self.peers
        flags[.lanOnly] = self.lanOnly.map { [String($0)] }
        flags[.discovery] = self.discovery.map { [$0] }
        flags[.priority] = self.priority.map { [$0] }
        flags[.reconcileEvery] = self.reconcileEvery.map { [$0] }
        flags[.logLevel] = self.logLevel.map { [$0] }
        flags[.logFile] = self.logFile.map { [$0] }
        return flags
    }

    /// The effective settings of the node in `directory`.
    func load(from directory: NodeDirectory) throws -> NodeConfiguration {
        try NodeConfiguration.load(
            from: directory,
            flags: self.flags,
            environment: ProcessInfo.processInfo.environment
        )
    }
}

/// `run`: the agent, in the foreground.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the node until SIGTERM or Ctrl-C."
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var settings: ConfigurationOptions

    func run() async throws {
        let directory = try self.data.ownDirectory()
        let identity = try directory.identity()
        let configuration = try self.settings.load(from: directory)
        let level = Logger.Level(rawValue: configuration.log.level) ?? .notice
        let sink = LogSink(file: configuration.log.file, in: directory)
        LoggingSystem.bootstrap { NodeLogHandler(label: $0, level: level, sink: sink) }
        var logger = Logger(label: "clinic-node")
        logger[metadataKey: "node.id"] = "\(identity.nodeID)"
        while true {
            do {
                return try await self.serve(directory, configuration, logger)
            } catch let error as ClinicSyncError where error.code == .numbersTaken {
                logger.warning(
                    "Other nodes have other changes under this node's batch numbers: it starts again, on new ones"
                )
                try await Task.sleep(for: RunCommand.pause)
            } catch let error as ClinicSyncError where error.code == .broughtBack {
                // The node waited until nobody had the database open, and opening it waits too.
                logger.warning("The whole clinic was brought back to a backup: the node starts again, and follows")
            }
        }
    }

    /// The pause before a node that goes on under new numbers starts again.
    ///
    /// A member that forges batches in this node's name can make it start again, so it must not do so endlessly fast.
    private static let pause = Duration.seconds(1)

    private func serve(_ directory: NodeDirectory, _ configuration: NodeConfiguration, _ logger: Logger) async throws {
        let notice = ServiceManagerNotice(environment: ProcessInfo.processInfo.environment)
        let node = try ClinicNode(
            directory: directory,
            configuration: configuration,
            logger: logger,
            onReady: { _ in
                notice.sendReady()
                Output.report("ready")
            }
        )
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(service: node, successTerminationBehavior: .gracefullyShutdownGroup),
                    .init(service: ProgressDisplay(node: node), successTerminationBehavior: .ignore),
                    .init(service: WatchdogService(node: node, notice: notice), successTerminationBehavior: .ignore),
                ],
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: logger
            )
        )
        try await group.run()
    }
}
