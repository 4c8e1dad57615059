import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `host`: shows which PC is host, or makes another PC the host.
struct HostCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "host",
        abstract: "Show which PC is the host, or make another PC the host.",
        subcommands: [Show.self, Transfer.self],
        defaultSubcommand: Show.self
    )

    /// The output of `host --json`.
    private struct Report: Encodable {
        var host: NodeStatus.Host?
        var term: Int
        var isSelf: Bool

        private enum Key: String, CodingKey {
            case host
            case term
            case isSelf
        }

        /// Writes `null` where there is no host, rather than nothing.
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(self.host, forKey: .host)
            try container.encode(self.term, forKey: .term)
            try container.encode(self.isSelf, forKey: .isSelf)
        }
    }

    /// `host transfer`.
    struct Transfer: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "transfer",
            abstract: "Make another PC the host, at once and without a pause.",
            discussion: """
                The new host stays host as long as it is healthy. When a host is lost, the option --priority of run says \
                which PC is preferred.
                """
        )

        @OptionGroup var data: DataOptions
        @Argument(help: "The node's name, id, or the beginning of its id.") var node: String

        func run() async throws {
            try await self.data.order(.POST, "/v1/host/transfer", query: [("node", self.node)])
            Output.report("\(self.node) is the host now")
        }
    }

    /// `host` alone.
    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Show which PC is the host (the default)."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat

        func run() async throws {
            let status: NodeStatus = try await self.data.request(.GET, "/v1/status")
            let isSelf = status.host?.id == status.node.id
            if self.output.isJSON {
                return try Output.json(Report(host: status.host, term: status.term, isSelf: isSelf))
            }
            guard let host = status.host else {
                return try Output.line("no host known, term \(status.term)")
            }
            var table = TextTable([("NAME", .left), ("ID", .left), ("ADDRESS", .left), ("TERM", .right)])
            table.add([host.name + (isSelf ? " (this)" : ""), host.id, host.address, String(status.term)])
            try Output.table(table)
        }
    }
}
