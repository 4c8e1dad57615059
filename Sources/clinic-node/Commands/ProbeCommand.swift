import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `probe`: how long a change takes to arrive.
struct ProbeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe",
        abstract: "Measure how long a change takes to arrive at every connected PC.",
        discussion: """
            Makes a change in a table that belongs to the nodes, not in the clinic's data. The exit status is 0 when every \
            connected PC answered.
            """
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("How long to wait for answers, up to 60s.", valueName: "time")) var timeout = "10s"

    func run() async throws {
        let timeout = try Duration(option: "--timeout", self.timeout)
        guard timeout > .zero, timeout <= .seconds(60) else {
            throw ValidationError("--timeout is a time up to 60s.")
        }
        let summary: ProbeSummary = try await self.data.request(
            .POST,
            "/v1/probe",
            body: ["timeout": self.timeout],
            timeout: timeout + .seconds(30)
        )
        if self.output.isJSON {
            try Output.json(summary)
        } else {
            try self.print(summary)
        }
        if !summary.complete { throw ExitCode(ExitCodes.failed) }
    }

    private func print(_ summary: ProbeSummary) throws {
        guard !summary.nodes.isEmpty || !summary.missing.isEmpty else {
            return Output.report("No other PC is connected")
        }
        var table = TextTable([("NAME", .left), ("ARRIVED", .right), ("ROUND TRIP", .right)])
        for node in summary.nodes {
            table.add([
                node.name, ProbeCommand.text(node.milliseconds), ProbeCommand.text(node.roundTripMilliseconds),
            ])
        }
        for node in summary.missing { table.add([node.name, "no answer", "-"]) }
        try Output.table(table)
    }

    private static func text(_ milliseconds: Double) -> String { "\((milliseconds * 10).rounded() / 10) ms" }
}
