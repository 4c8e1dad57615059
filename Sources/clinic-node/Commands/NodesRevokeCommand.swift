import ArgumentParser
import ClinicSync
import ClinicSyncModel
import NIOHTTP1

extension NodesCommand {
    /// `nodes revoke`.
    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revoke",
            abstract: "Revoke a stolen or retired PC for good: it receives nothing from now on.",
            discussion: """
                Runs on a PC that may sign. A revoked PC cannot be restored: it can only join again. On a terminal the command says \
                what may be lost, and asks.
                """
        )

        @OptionGroup var data: DataOptions
        @Flag(help: "Do not ask.") var yes = false
        @Argument(help: "The node's name, id, or the beginning of its id.") var node: String

        func run() async throws {
            if !self.yes, PasswordPrompt.isInteractive {
                try await Departure(of: self.node, self.data).confirm("Revoke \(self.node)?")
            }
            try await self.data.order(.POST, "/v1/nodes/revoke", query: [("node", self.node)])
            Output.report("\(self.node) is revoked")
        }
    }

    /// `nodes replace`.
    struct Replace: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replace",
            abstract: "Revoke a broken PC, and print a join code for the PC that takes its place and its name.",
            discussion: """
                Runs on a PC that may sign. On a terminal the command says what may be lost, and asks. Only the code is printed to \
                standard output; the command for the new PC is printed to standard error.
                """
        )

        @OptionGroup var data: DataOptions
        @Option(help: ArgumentHelp("How long the code is valid.", valueName: "time")) var ttl = "30m"
        @Flag(help: "Do not ask.") var yes = false
        @Argument(help: "The broken node's name, id, or the beginning of its id.") var node: String

        func validate() throws { _ = try Duration(option: "--ttl", self.ttl) }

        func run() async throws {
            guard self.yes || PasswordPrompt.isInteractive else {
                throw ClinicSyncError(.usage, "Nothing was changed: nodes replace asks on a terminal, or needs --yes.")
            }
            let departure = try await Departure(of: self.node, self.data)
            if !self.yes { try departure.confirm("Replace \(departure.name)?") }
            // A PC that was revoked earlier can be replaced, too.
            if !departure.isRevoked {
                try await self.data.order(.POST, "/v1/nodes/revoke", query: [("node", departure.id)])
            }
            let invitation: Invitation = try await self.data.request(
                .POST,
                "/v1/invitations",
                query: [("ttl", self.ttl), ("uses", "1")]
            )
            try Output.line(invitation.code)
            Output.report(
                "\(departure.name) is revoked. On the new PC: clinic-node join CODE --name \"\(departure.name)\""
            )
            if departure.maySign {
                Output.report(
                    "Then here: clinic-node nodes grant \"\(departure.name)\", because the former PC could sign"
                )
            }
        }
    }
}

/// A member that leaves the clinic for good.
private struct Departure {
    private let member: NodesSummary.Node

    /// Finds the member that a person names.
    ///
    /// - Throws: ``ClinicSyncError`` of code `usage` when there is none, or several.
    init(of text: String, _ data: DataOptions) async throws {
        let summary: NodesSummary = try await data.request(.GET, "/v1/nodes")
        let named = summary.nodes.filter { $0.name == text || $0.id == text.lowercased() }
        let begun = text.utf8.count >= 4 ? summary.nodes.filter { $0.id.hasPrefix(text.lowercased()) } : []
        let found = named.isEmpty ? begun : named
        guard let member = found.first, found.count == 1 else {
            throw ClinicSyncError(
                .usage,
                found.isEmpty
                    ? "There is no node \"\(text)\"\(ClosestName.question(text, among: summary.nodes.map(\.name))): "
                        + "clinic-node nodes lists all."
                    : "\"\(text)\" means \(found.count) nodes: use the id that clinic-node nodes shows."
            )
        }
        self.member = member
    }

    var id: String { self.member.id }
    var name: String { self.member.name }
    var maySign: Bool { self.member.maySign }
    var isRevoked: Bool { self.member.revokedAt != nil }

    /// Says what may be lost, and asks.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` when the person does not agree.
    func confirm(_ question: String) throws {
        Output.report("\(self.member.name) (\(self.member.id)) leaves the clinic for good. \(self.loss)")
        guard try PasswordPrompt.askYes(question) else {
            throw ClinicSyncError(.refused, "Nothing was changed: answer yes to revoke the PC.")
        }
    }

    /// What of that PC may not have arrived.
    private var loss: String {
        if self.isRevoked { return "It was revoked before." }
        if self.member.connected {
            return
                "It is connected: what was entered there until now arrives within moments. Later entries are lost to the clinic."
        }
        guard let seen = self.member.lastSeen else {
            return "This PC never heard from it: what was entered there and reached no other PC is lost to the clinic."
        }
        return
            "This PC last heard from it at \(seen): what was entered there since then and reached no other PC is lost to the clinic."
    }
}
