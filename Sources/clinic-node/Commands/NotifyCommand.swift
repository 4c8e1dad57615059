import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `notify`: a notice to programs.
struct NotifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notify",
        abstract: "Send a notice to the programs on all PCs, on one PC, or to the programs of one user.",
        discussion: "A PC that is off receives the notice if it comes back within a day."
    )

    /// The body of the request.
    private struct Notice: Encodable {
        var text: String
        var node: String?
        var user: String?
    }

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Only this PC: its name, id, or the beginning of its id.", valueName: "node"))
    var node: String?
    @Option(help: ArgumentHelp("Only the programs of this user, on any PC.", valueName: "user")) var user: String?
    @Argument(help: "The text: one line of up to 1000 characters.") var text: [String]

    func validate() throws {
        guard self.node == nil || self.user == nil else {
            throw ValidationError("A notice is for a node or for a user: give --node or --user.")
        }
    }

    func run() async throws {
        let notice = Notice(text: self.text.joined(separator: " "), node: self.node, user: self.user)
        let reply: [String: String] = try await self.data.request(.POST, "/v1/notices", body: notice)
        if self.output.isJSON { return try Output.json(reply) }
        Output.report("The notice was sent")
    }
}
