import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `nodes`: the members of the clinic.
struct NodesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nodes",
        abstract: "List the clinic's PCs, or change what one of them may do.",
        subcommands: [List.self, Rename.self, Revoke.self, Replace.self, Grant.self],
        defaultSubcommand: List.self
    )

    /// `nodes` alone.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the clinic's PCs (the default)."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat

        func run() async throws {
            let summary: NodesSummary = try await self.data.request(.GET, "/v1/nodes")
            if self.output.isJSON { return try Output.json(summary) }
            var table = TextTable([
                ("NAME", .left), ("ID", .left), ("ADDRESS", .left), ("ROLE", .left), ("CONNECTED", .left),
                ("LAG", .right), ("VERSION", .left), ("SIGNS", .left), ("LAST SEEN", .left),
            ])
            for node in summary.nodes {
                let role = ["joining", "lapsed"].contains(node.standing) ? node.standing : node.role
                table.add([
                    node.name + (node.isSelf ? " (this)" : ""), node.id, node.address, role,
                    node.connected ? "yes" : "no", node.lagBatches.map(String.init) ?? "-",
                    node.version.isEmpty ? "-" : node.version,
                    node.maySign ? "yes" : "no", node.isSelf ? "now" : node.lastSeen?.description ?? "-",
                ])
            }
            try Output.table(table)
        }
    }

    /// `nodes rename`.
    struct Rename: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rename",
            abstract: "Give a PC another name, on every PC.",
            discussion: "A PC that is off takes its new name when it is back."
        )

        @OptionGroup var data: DataOptions
        @Argument(help: "The node's name, id, or the beginning of its id.") var node: String
        @Argument(help: "Its new name.") var name: String

        func run() async throws {
            try await self.data.order(.POST, "/v1/nodes/rename", query: [("node", self.node), ("name", self.name)])
            Output.report("\(self.node) is called \(self.name) now")
        }
    }

    /// `nodes grant`.
    struct Grant: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "grant",
            abstract: "Let another PC invite, renew certificates and revoke.",
            discussion: "Runs on the PC where clinic-node init was run, which holds the clinic's own key."
        )

        @OptionGroup var data: DataOptions
        @Argument(help: "The node's name, id, or the beginning of its id.") var node: String

        func run() async throws {
            try await self.data.order(.POST, "/v1/nodes/grant", query: [("node", self.node)])
            Output.report("\(self.node) may invite, renew and revoke now")
        }
    }
}
