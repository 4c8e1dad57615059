import ArgumentParser
import ClinicSync
import ClinicSyncModel
import Foundation
import NIOHTTP1

/// `sessions`: lists sessions, logs users in and out.
struct SessionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions",
        abstract: "List who is logged in on which PC, log in and out.",
        subcommands: [List.self, LogIn.self, LogOut.self, Clean.self],
        defaultSubcommand: List.self
    )

    /// `sessions` alone.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the active sessions (the default).",
            discussion: """
                A provisional session was granted while most PCs could not be reached. If the user has also logged in on another \
                PC, the later login stays.
                """
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Flag(help: "Include sessions that have ended.") var all = false

        func run() async throws {
            let summary = try await SessionsCommand.sessions(self.data, all: self.all)
            if self.output.isJSON { return try Output.json(summary) }
            var table = TextTable([
                ("USER", .left), ("PC", .left), ("SINCE", .left), ("LAST ACTIVE", .left), ("STATE", .left),
                ("ID", .left),
            ])
            for session in summary.sessions {
                table.add([
                    session.username, session.deviceName.isEmpty ? session.deviceId : session.deviceName,
                    session.loginTime, session.lastActivity, SessionsCommand.state(session), session.id,
                ])
            }
            try Output.table(table)
        }
    }

    /// `sessions login`.
    struct LogIn: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "login",
            abstract: "Log a user in on this PC; prints the session's token once.",
            discussion: """
                The password is asked for on the terminal, or is one line of standard input when that is no terminal. \
                Exit status 2 says that the user is logged in on another PC.
                """
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Argument(help: "The user's name.") var user: String
        @Option(help: ArgumentHelp("The name of this PC in messages.", valueName: "name")) var device: String?
        @Flag(help: "End the user's sessions on other PCs.") var force = false

        func run() async throws {
            // Before anybody types a password in vain.
            _ = try LocalAPIClient(directory: self.data.directory())
            let input = LoginInput(
                username: self.user,
                password: try PasswordPrompt.ask("Password of \(self.user): "),
                deviceName: self.device,
                force: self.force
            )
            let grant: LoginGrant = try await self.data.request(.POST, "/v1/sessions", body: input)
            if grant.session.provisional {
                Output.report(
                    "most PCs cannot be reached: if \(self.user) has also logged in on another PC, the later login will stay"
                )
            }
            if self.output.isJSON { return try Output.json(grant) }
            try Output.line(grant.token)
        }
    }

    /// `sessions logout`.
    struct LogOut: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "logout",
            abstract: "End one session, or all sessions of a user.",
            discussion: "Without an id and a user it ends the sessions of this PC."
        )

        @OptionGroup var data: DataOptions
        @Argument(help: "The session's id, from the list.") var id: String?
        @Option(help: ArgumentHelp("The user whose sessions end on all PCs.", valueName: "name")) var user: String?

        func validate() throws {
            if self.id != nil, self.user != nil { throw ValidationError("Give an id or --user, not both.") }
        }

        func run() async throws {
            if let user = self.user {
                let answer: [String: Int] = try await self.data.request(
                    .DELETE,
                    "/v1/sessions",
                    query: [("user", user)]
                )
                let ended = answer["ended"] ?? 0
                Output.report(ended == 0 ? "\(user) was not logged in anywhere" : "\(ended) sessions were ended")
            } else if let id = self.id {
                try await SessionsCommand.end(id, self.data)
            } else {
                let own = try self.data.directory().identity().nodeID.description
                let summary = try await SessionsCommand.sessions(self.data, all: false)
                let sessions = summary.sessions.filter { $0.deviceId == own }
                for session in sessions { try await SessionsCommand.end(session.id, self.data) }
                Output.report(
                    sessions.isEmpty ? "nobody was logged in on this PC" : "\(sessions.count) sessions were ended"
                )
            }
        }
    }

    /// `sessions clean`.
    struct Clean: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "clean",
            abstract: "Remove sessions that ended long ago."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Option(help: ArgumentHelp("Remove sessions that ended at least this many days ago.", valueName: "days"))
        var days = 30

        func validate() throws {
            guard (0...3_650).contains(self.days) else { throw ValidationError("--days is a number from 0 to 3650.") }
        }

        func run() async throws {
            let answer: [String: Int] = try await self.data.request(
                .POST,
                "/v1/sessions/clean",
                query: [("olderThan", "\(self.days * 86_400)s")],
                timeout: .seconds(60)
            )
            if self.output.isJSON { return try Output.json(answer) }
            Output.report("\(answer["removed"] ?? 0) sessions were removed")
        }
    }

    private static func sessions(_ data: DataOptions, all: Bool) async throws -> SessionsSummary {
        try await data.request(.GET, "/v1/sessions", query: [("state", all ? "all" : "active")])
    }

    private static func end(_ id: String, _ data: DataOptions) async throws {
        let allowed = CharacterSet.alphanumerics.union(CharacterSet(charactersIn: "-._~"))
        guard let escaped = id.addingPercentEncoding(withAllowedCharacters: allowed), !id.isEmpty else {
            throw ClinicSyncError(.usage, "A session's id is what clinic-node sessions shows in the last column.")
        }
        try await data.order(.DELETE, "/v1/sessions/" + escaped)
    }

    private static func state(_ session: SessionSummary) -> String {
        if !session.isActive { return "ended: \(session.endReason ?? "unknown")" }
        return session.provisional ? "provisional" : "active"
    }
}
