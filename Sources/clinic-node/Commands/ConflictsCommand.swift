import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `conflicts`: values that lost to others, and what to do with them.
struct ConflictsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conflicts",
        abstract: "List values that two PCs wrote at the same time, and choose which to keep.",
        subcommands: [List.self, Show.self, Resolve.self],
        defaultSubcommand: List.self
    )

    /// `conflicts` alone.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the conflicts nobody has dealt with (the default)."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Flag(help: "Show also those that somebody has dealt with.") var all = false

        func run() async throws {
            let body = try await LocalAPIClient(directory: self.data.directory())
                .send(
                    .GET,
                    "/v1/conflicts",
                    query: [("state", (self.all ? ConflictFilter.all : .open).rawValue)],
                    timeout: .seconds(30)
                )
            let summary = try APICoding.decode(ConflictsSummary.self, from: body)
            if self.output.isJSON { return try Output.json(summary) }
            guard !summary.conflicts.isEmpty else { return Output.report("there are no conflicts") }
            for conflict in summary.conflicts {
                let state = conflict.state == "open" ? "" : " (\(conflict.state))"
                try Output.line("\(conflict.id)\(state)  \(Output.printable(conflict.sentence))")
            }
            if summary.open > summary.conflicts.count {
                Output.report("\(summary.open) are open; these are the newest \(summary.conflicts.count)")
            }
        }
    }

    /// `conflicts show`.
    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Show one conflict with both values whole."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Argument(help: "The conflict's id, from the list.") var id: String

        func run() async throws {
            let body = try await LocalAPIClient(directory: self.data.directory())
                .send(.GET, try ConflictsCommand.path(self.id), timeout: .seconds(30))
            let conflict = try APICoding.decode(ConflictSummary.self, from: body)
            if self.output.isJSON { return try Output.json(conflict) }
            for line in ConflictsCommand.lines(conflict) { try Output.line(Output.printable(line)) }
        }
    }

    /// `conflicts resolve`.
    struct Resolve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "resolve",
            abstract: "Deal with a conflict: keep the current value, or put the other in its place.",
            discussion: "The other value is written on this PC like any edit and reaches all others."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Argument(help: "The conflict's id, from the list.") var id: String
        @Option(help: ArgumentHelp("Which value to keep: current or other.", valueName: "value")) var keep: String

        func validate() throws {
            guard ConflictChoice(rawValue: self.keep) != nil else {
                throw ValidationError("--keep is current or other, not \"\(self.keep)\".")
            }
        }

        func run() async throws {
            guard let choice = ConflictChoice(rawValue: self.keep) else { return }
            let body = try await LocalAPIClient(directory: self.data.directory())
                .send(
                    .POST,
                    try ConflictsCommand.path(self.id) + "/resolve",
                    body: try APICoding.encode(ConflictDecision(keep: choice)),
                    timeout: .seconds(60)
                )
            let conflict = try APICoding.decode(ConflictSummary.self, from: body)
            if self.output.isJSON { return try Output.json(conflict) }
            Output.report("conflict \(conflict.id) is resolved: the \(choice.rawValue) value is kept")
        }
    }

    /// The address of a conflict; an id is a number, so that nothing else can get into the address.
    private static func path(_ id: String) throws -> String {
        guard !id.isEmpty, id.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }) else {
            throw ClinicSyncError(.usage, "\"\(id)\" is no id of a conflict: clinic-node conflicts lists all.")
        }
        return "/v1/conflicts/\(id)"
    }

    private static func lines(_ conflict: ConflictSummary) -> [String] {
        func side(_ title: String, _ side: ConflictSummary.Side?) -> [String] {
            guard let side else { return ["\(title): the row is gone"] }
            let name = side.originName.isEmpty ? side.origin : side.originName
            return ["\(title): by \(name) at \(side.timestamp)", "    \(side.value)"]
        }
        return [
            conflict.sentence, "",
            "place: \(conflict.table) \(conflict.recordId) \(conflict.column)",
        ] + side("current", conflict.current) + side("other", conflict.other) + [
            "state: \(conflict.state)"
                + (conflict.kept.map { ", kept \($0)" } ?? "")
                + (conflict.resolvedAt.map { " at \($0)" } ?? "")
        ]
    }
}
