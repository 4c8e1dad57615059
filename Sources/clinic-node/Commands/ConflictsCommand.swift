import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `conflicts`: lists conflicts, shows one, and resolves it.
struct ConflictsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conflicts",
        abstract: "List conflicts between changes that PCs made without knowing of each other, and resolve them.",
        discussion: "All PCs share one journal: a decision on one PC applies to all PCs.",
        subcommands: [List.self, Show.self, Resolve.self],
        defaultSubcommand: List.self
    )

    /// `conflicts` alone.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the open conflicts (the default)."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Flag(help: "Include resolved conflicts.") var all = false

        func run() async throws {
            let summary: ConflictsSummary = try await self.data.request(
                .GET,
                "/v1/conflicts",
                query: [("state", (self.all ? ConflictFilter.all : .open).rawValue)]
            )
            if self.output.isJSON { return try Output.json(summary) }
            guard !summary.conflicts.isEmpty else { return Output.report("there are no conflicts") }
            for conflict in summary.conflicts {
                let state = conflict.state == "open" ? "" : " (\(conflict.state))"
                try Output.line("\(conflict.id)\(state)  \(TerminalText.printable(conflict.sentence))")
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
            abstract: "Show one conflict: both values, their authors, the rule, and how to reverse the decision."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Argument(help: "The conflict's id from the list, or at least its first six characters.") var id: String

        func run() async throws {
            let conflict: ConflictSummary = try await self.data.request(.GET, try ConflictsCommand.path(self.id))
            if self.output.isJSON { return try Output.json(conflict) }
            for line in ConflictsCommand.lines(conflict) { try Output.line(TerminalText.printable(line)) }
        }
    }

    /// `conflicts resolve`.
    struct Resolve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "resolve",
            abstract: "Resolve a conflict on all PCs: keep the current value, or write the other value.",
            discussion: "This PC writes the other value as an ordinary edit, which reaches all other PCs."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Argument(help: "The conflict's id from the list, or at least its first six characters.") var id: String
        @Option(help: ArgumentHelp("Which value to keep: current or other.", valueName: "value")) var keep: String

        func validate() throws {
            guard ConflictChoice(rawValue: self.keep) != nil else {
                throw ValidationError("--keep is current or other, not \"\(self.keep)\".")
            }
        }

        func run() async throws {
            guard let choice = ConflictChoice(rawValue: self.keep) else { return }
            let conflict: ConflictSummary = try await self.data.request(
                .POST,
                try ConflictsCommand.path(self.id) + "/resolve",
                body: ConflictDecision(keep: choice),
                timeout: .seconds(60)
            )
            if self.output.isJSON { return try Output.json(conflict) }
            Output.report("conflict \(conflict.id) is resolved on all PCs: the \(choice.rawValue) value is kept")
        }
    }

    /// Digits of an id that must be given at least.
    private static let idDigitsMin = 6

    /// The address of a conflict; an id is hexadecimal, so that nothing else can get into the address.
    private static func path(_ id: String) throws -> String {
        guard id.count >= self.idDigitsMin, id.allSatisfy({ $0.isASCII && $0.isHexDigit }) else {
            throw ClinicSyncError(
                .usage,
                "\"\(id)\" is not a conflict's id: give at least six characters of an id that clinic-node conflicts lists."
            )
        }
        return "/v1/conflicts/\(id)"
    }

    private static func lines(_ conflict: ConflictSummary) -> [String] {
        func side(_ title: String, _ side: ConflictSummary.Side?) -> [String] {
            guard let side else { return [] }
            let name = side.originName.isEmpty ? side.origin : side.originName
            return ["\(title): by \(name) at \(side.timestamp)", "    \(side.value)"]
        }
        let place = [conflict.table, conflict.recordId, conflict.column].compactMap(\.self).joined(separator: " ")
        let related = conflict.related.map { ["related: \($0.table) \($0.recordId)"] } ?? []
        let decision =
            (conflict.kept.map { ", kept \($0)" } ?? "") + (conflict.resolvedAt.map { " at \($0)" } ?? "")
            + (conflict.resolvedBy.map { " on \($0)" } ?? "")
        return [conflict.sentence, conflict.rule, conflict.takeBack, ""]
            + [
                "id: \(conflict.id)", "kind: \(conflict.kind)",
                "place: \(place)\(conflict.shown ? "" : " (not shown)")",
            ]
            + related + side("current", conflict.current) + side("other", conflict.other)
            + ["state: \(conflict.state)\(decision)"]
    }
}
