import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `sync`: proves that all nodes are equal, or says that they are not.
struct SyncCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync",
        abstract: "Compare and repair all tables on all nodes now."
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Compare this table only.", valueName: "table")) var table: String?
    @Option(help: ArgumentHelp("How long it may take.", valueName: "time")) var timeout = "60s"

    func validate() throws {
        _ = try Duration(option: "--timeout", self.timeout)
    }

    func run() async throws {
        let limit = try Duration(option: "--timeout", self.timeout)
        var query: [(name: String, value: String)] = [("timeout", self.timeout)]
        if let table = self.table { query.append(("table", table)) }
        let summary: SyncSummary = try await self.data.request(
            .POST,
            "/v1/sync",
            query: query,
            timeout: limit + .seconds(10)
        )
        if self.output.isJSON { try Output.json(summary) } else { try self.print(summary) }
        try await self.reportAbsent(summary)
        try await self.reportWaiting()
        if !summary.isConverged { try await self.reportLocked() }
        guard summary.isConverged else { throw ExitCode(ExitCodes.failed) }
    }

    /// Names the members that are not connected: the proof does not cover them.
    private func reportAbsent(_ summary: SyncSummary) async throws {
        let members: NodesSummary = try await self.data.request(.GET, "/v1/nodes")
        let compared = Set(summary.nodes.map(\.id))
        let absent = members.nodes.filter { !compared.contains($0.id) && $0.role != "revoked" && !$0.isSelf }
        guard !absent.isEmpty else { return }
        let names = absent.map { TerminalText.printable($0.name) }.joined(separator: ", ")
        Output.report("not connected, so not compared: \(names)")
    }

    /// Names what waits on this PC, and columns that are not in the files of all PCs.
    private func reportWaiting() async throws {
        let status: NodeStatus = try await self.data.request(.GET, "/v1/status")
        for entry in status.waiting where self.table == nil || self.table == entry.table {
            Output.report("\(TerminalText.printable(entry.table)): \(TerminalText.printable(entry.reason))")
        }
    }

    /// Names the PCs whose file a program keeps locked: they could not be compared.
    private func reportLocked() async throws {
        let status: NodeStatus = try await self.data.request(.GET, "/v1/status")
        for file in status.lockedFiles {
            Output.report(TerminalText.printable(file.sentence(isHere: file.node == status.node.id)))
        }
    }

    private func print(_ summary: SyncSummary) throws {
        let style = Style.standardOutput
        switch summary.result {
        case "equal":
            try Output.line(style.good("All nodes are equal.") + " \(summary.milliseconds) ms")
        case "repaired":
            try Output.line(
                style.good("All nodes are equal") + " after repair of \(summary.repairedRows) rows."
                    + " \(summary.milliseconds) ms"
            )
        case "differs":
            try Output.line(
                style.bad(
                    "The nodes are not proven equal: run clinic-node status on those that differ, then this command again."
                )
            )
        default:
            try Output.line(
                style.warning("There was no node to compare with: check that the other PCs run, and the lines below.")
            )
        }
        guard !summary.nodes.isEmpty else { return }
        var table = TextTable([("NODE", .left), ("RESULT", .left)])
        for node in summary.nodes { table.add([node.name, node.result]) }
        for line in table.lines(indent: 2, style: style) { try Output.line(line) }
    }
}
