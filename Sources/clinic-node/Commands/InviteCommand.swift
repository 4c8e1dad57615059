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
        let body = try await LocalAPIClient(directory: self.data.directory()).send(
            .POST,
            "/v1/invitations",
            query: [("ttl", self.ttl), ("uses", String(self.uses))],
            timeout: .seconds(30)
        )
        let invitation = try APICoding.decode(Invitation.self, from: body)
        if self.output.isJSON { try Output.json(invitation) } else { try Output.line(invitation.code) }
    }
}
