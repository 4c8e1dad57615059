import ArgumentParser
import ClinicSync
import Foundation
import NIOHTTP1

/// `sync`: proves that all nodes are equal, or says that they are not.
struct SyncCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync",
        abstract: "Compare and repair all tables on all nodes now.",
        discussion: """
            Exits with 0 only when every PC of the clinic that has not lapsed was proven equal; with --reachable, when every PC \
            that answers was. The output says which PCs are missing, since when and why.
            """
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Compare this table only.", valueName: "table")) var table: String?
    @Option(help: ArgumentHelp("How long it may take.", valueName: "time")) var timeout = "60s"

    @Flag(help: "Be content when every PC that answers is equal.") var reachable = false

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
        self.reportMissing(summary)
        try await self.reportWaiting()
        if !summary.isConverged { try await self.reportLocked() }
        guard summary.isWhole || (self.reachable && summary.isReachableEqual) else {
            throw ExitCode(ExitCodes.failed)
        }
    }

    /// Names the members that were not compared: the proof does not cover them.
    private func reportMissing(_ summary: SyncSummary) {
        let now = Int64(Date().timeIntervalSince1970 * 1_000)
        for node in summary.nodes {
            guard let reason = node.reason else { continue }
            let age = node.since.map { StatusText.age(seconds: Int(max(0, now - $0.milliseconds) / 1_000)) }
            let seen = age.map { ", seen \($0) ago" } ?? ""
            let name = TerminalText.printable(node.name)
            Output.report("not compared: \(name)\(seen): \(TerminalText.printable(reason))")
        }
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
        let took = " \(summary.milliseconds) ms"
        switch summary.verdict {
        case "equal": try Output.line(style.good("All nodes are equal.") + took)
        case "repaired":
            try Output.line(
                style.good("All nodes are equal") + " after repair of \(summary.repairedRows) rows." + took
            )
        case "differs":
            try Output.line(
                style.bad(
                    "The nodes are not proven equal: run clinic-node status on those that differ, then this command again."
                )
            )
        case "alone":
            try Output.line(style.bad("No other PC answers, so nothing is proven: check that the other PCs run."))
        case _ where summary.isConverged:
            try Output.line(style.warning("The PCs that answer are equal; not all PCs of the clinic answer.") + took)
        default:
            try Output.line(
                style.warning("There was no node to compare with: check that the other PCs run, and the lines below.")
            )
        }
        let compared = summary.nodes.filter { $0.reason == nil }
        guard !compared.isEmpty else { return }
        var table = TextTable([("NODE", .left), ("RESULT", .left)])
        for node in compared { table.add([node.name, node.result]) }
        for line in table.lines(indent: 2, style: style) { try Output.line(line) }
    }
}
