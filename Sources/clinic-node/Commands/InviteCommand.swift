import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `invite`: makes a join code.
struct InviteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invite",
        abstract: "Print one join code for a new PC."
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("How long the code is valid.", valueName: "time")) var ttl = "30m"
    @Option(help: ArgumentHelp("How many PCs may use it.", valueName: "n")) var uses = 1

    func validate() throws {
        _ = try Duration(option: "--ttl", self.ttl)
        guard self.uses > 0 else { throw ValidationError("--uses is at least 1.") }
    }

    func run() async throws {
        let invitation: Invitation = try await self.data.request(
            .POST,
            "/v1/invitations",
            query: [("ttl", self.ttl), ("uses", String(self.uses))]
        )
        if self.output.isJSON { try Output.json(invitation) } else { try Output.line(invitation.code) }
    }
}
