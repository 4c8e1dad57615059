import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `invite`: makes a join code.
struct InviteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invite",
        abstract: "Print one join code for a new PC.",
        discussion: """
            Only the code is printed to standard output. Standard error says how long it is valid and what to do next; on a terminal \
            it also shows the code as a QR picture when the program qrencode is installed.
            """
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
        if self.output.isJSON { return try Output.json(invitation) }
        try Output.line(invitation.code)
        QRPicture.show(invitation.code)
        let uses = self.uses == 1 ? "1 PC" : "\(self.uses) PCs"
        Output.report("Good for \(uses), for \(self.ttl). On the new PC: clinic-node join CODE --name NAME")
    }
}
