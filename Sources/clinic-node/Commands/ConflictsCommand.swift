import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `conflicts`: lists conflicts, shows one, and resolves one or many.
struct ConflictsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conflicts",
        abstract: "List conflicts between changes that PCs made without knowing of each other, and resolve them.",
        discussion: "All PCs share one journal: a decision on one PC applies to all PCs.",
        subcommands: [List.self, Show.self, ConflictsResolveCommand.self],
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

    /// Digits of an id that must be given at least.
    private static let idDigitsMin = 6
    /// Digits of the id of one of several values, enough for a command.
    private static let idDigitsShown = 12

    /// The address of a conflict; an id is hexadecimal, so that nothing else can get into the address.
    static func path(_ id: String) throws -> String {
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
        let values = conflict.values.flatMap { value in
            let name = value.originName.isEmpty ? value.origin : value.originName
            return [
                "\(value.id.prefix(ConflictsCommand.idDigitsShown)): by \(name) at \(value.timestamp)",
                "    \(value.value)",
            ]
        }
        return [conflict.sentence, conflict.rule, conflict.takeBack, ""]
            + [
                "id: \(conflict.id)", "kind: \(conflict.kind)",
                "place: \(place)\(conflict.shown ? "" : " (not shown)")",
            ]
            + related + side("current", conflict.current) + side("other", conflict.other)
            + ["state: \(conflict.state)\(decision)"]
            + (values.isEmpty ? [] : ["", "the \(conflict.count) values that are not shown, newest first:"]) + values
    }
}
