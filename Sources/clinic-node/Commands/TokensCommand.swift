import ArgumentParser
import ClinicSync
import Foundation

/// `tokens`: lists the tokens of programs, makes one, removes one.
struct TokensCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokens",
        abstract: "List the tokens of programs, make one, or remove one.",
        discussion: """
            The file api.token in the node's directory allows everything. A program that shows a list, or a web page, gets a \
            token of its own with the rights that it needs. Works whether the node runs or not; a running node takes a change \
            at once.
            """,
        subcommands: [List.self, Add.self, Remove.self],
        defaultSubcommand: List.self
    )

    /// `tokens` alone.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the tokens (the default)."
        )

        /// A token as JSON; it has no secret.
        private struct Entry: Encodable {
            var name: String
            var rights: [String]
            var tables: [String]
            var created: Date
        }

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat

        func run() throws {
            let tokens = try self.data.tokens().list().map { token in
                Entry(
                    name: token.name,
                    rights: TokenRight.allCases.filter(token.rights.contains).map(\.rawValue),
                    tables: token.tables.sorted(),
                    created: token.created
                )
            }
            if self.output.isJSON { return try Output.json(["tokens": tokens]) }
            var table = TextTable([("NAME", .left), ("RIGHTS", .left), ("TABLES", .left), ("MADE", .left)])
            for token in tokens {
                let tables = token.tables.isEmpty ? "all" : token.tables.joined(separator: ", ")
                let made = token.created.formatted(.iso8601.year().month().day())
                table.add([token.name, token.rights.joined(separator: ", "), tables, made])
            }
            try Output.table(table)
        }
    }

    /// `tokens add`.
    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add",
            abstract: "Make a token for a program, and print it once.",
            discussion: """
                Rights: events (gets events), read (status, conflicts, why), write (sync, probe, notices, resolve), sessions \
                (log in and out), admin (members, host, join codes, backups, the dashboard). With --table the token gets events \
                of these tables only.
                """
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Argument(help: "A name by which you know the program.") var name: String
        @Option(help: ArgumentHelp("What the program may do; repeated.", valueName: "right")) var right: [TokenRight]
        @Option(help: ArgumentHelp("Only events of this table; repeated.", valueName: "name")) var table: [String] = []

        func run() throws {
            let secret = try self.data.tokens().add(self.name, rights: Set(self.right), tables: Set(self.table))
            if self.output.isJSON { return try Output.json(["name": self.name, "token": secret]) }
            try Output.line(secret)
            Output.report("This is the only time that the token is shown: store it where only the program can read it.")
        }
    }

    /// `tokens remove`.
    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "remove",
            abstract: "Remove a token: its program is refused from now on.",
            discussion: """
                A WebSocket that is open is closed within 20 s, and a stream of events ends before the next event.
                """
        )

        @OptionGroup var data: DataOptions
        @Argument(help: "The token's name.") var name: String

        func run() throws {
            try self.data.tokens().remove(self.name)
            Output.report("\(self.name) has no access any more")
        }
    }
}

extension TokenRight: ExpressibleByArgument {}

extension DataOptions {
    /// The tokens of the node's programs.
    fileprivate func tokens() throws -> ProgramTokens {
        let directory = try self.ownDirectory()
        // A directory without a node has no programs either.
        _ = try directory.identity()
        return ProgramTokens(directory)
    }
}
