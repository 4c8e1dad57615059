import ArgumentParser
import ClinicSync
import Foundation
import NIOHTTP1

/// `conflicts resolve`: one conflict, or all that fit.
struct ConflictsResolveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve",
        abstract: "Resolve conflicts on all PCs: keep the current values, or write the other values.",
        discussion: """
            This PC writes the other value as an ordinary edit, which reaches all other PCs. With --all, the command counts the open \
            conflicts first, and asks once on a terminal.
            """
    )

    /// Which conflicts `--all` means.
    struct Filters: ParsableArguments {
        @Option(help: "With --all: only conflicts in this table.") var table: String?
        @Option(help: "With --all: only conflicts about this column.") var column: String?
        @Option(help: "With --all: only conflicts of this kind, such as value or renamed.") var kind: String?
        @Option(help: "With --all: only conflicts in which this PC wrote what is not shown.") var pc: String?
        @Option(
            help: ArgumentHelp(
                "With --all: only conflicts whose newest lost value is from this time or later (2026-11-27, 2026-11-27T10:00:00Z, or 8h ago).",
                valueName: "time"
            )
        )
        var since: String?
        @Option(
            help: ArgumentHelp(
                "With --all: only conflicts whose newest lost value is from this time or earlier.",
                valueName: "time"
            )
        )
        var until: String?

        /// Whether one is given.
        var isEmpty: Bool {
            [self.table, self.column, self.kind, self.pc, self.since, self.until].allSatisfy { $0 == nil }
        }
    }

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Argument(help: "The conflict's id from the list, or at least its first six characters.") var id: String?
    @Flag(help: "Resolve all open conflicts, or those that the filters leave.") var all = false
    @OptionGroup(title: "Filters") var filters: Filters
    @Option(help: ArgumentHelp("Which value to keep: current or other.", valueName: "value")) var keep: String
    @Flag(help: "With --all: say how many there are, and change nothing.") var dryRun = false
    @Flag(help: "With --all: do not ask.") var yes = false

    func validate() throws {
        guard ConflictChoice(rawValue: self.keep) != nil else {
            throw ValidationError("--keep is current or other, not \"\(self.keep)\".")
        }
        guard (self.id == nil) == self.all else {
            throw ValidationError("Name one conflict, or say --all.")
        }
        guard self.all || (self.filters.isEmpty && !self.dryRun && !self.yes) else {
            throw ValidationError("Filters, --dry-run and --yes belong to --all.")
        }
    }

    func run() async throws {
        guard let choice = ConflictChoice(rawValue: self.keep) else { return }
        if let id { try await self.resolve(id, choice) } else { try await self.resolveAll(choice) }
    }

    private func resolve(_ id: String, _ choice: ConflictChoice) async throws {
        let conflict: ConflictSummary = try await self.data.request(
            .POST,
            try ConflictsCommand.path(id) + "/resolve",
            body: ConflictDecision(keep: choice),
            timeout: .seconds(60)
        )
        if self.output.isJSON { return try Output.json(conflict) }
        Output.report("conflict \(conflict.id) is resolved on all PCs: the \(choice.rawValue) value is kept")
    }

    // MARK: - All

    /// How long many decisions may take.
    private static let timeout = Duration.seconds(3_600)

    private func resolveAll(_ choice: ConflictChoice) async throws {
        var decision = try self.decision(choice)
        decision.dryRun = true
        let counted = try await self.send(decision)
        if self.dryRun || counted.matching == 0 {
            if self.output.isJSON { return try Output.json(counted) }
            guard counted.matching > 0 else { return Output.report("no open conflict fits: nothing was changed") }
            return Output.report(
                ConflictsResolveCommand.count(counted.matching) + " would be resolved: nothing was changed"
            )
        }
        if !self.yes, !self.output.isJSON, PasswordPrompt.isInteractive {
            let what = choice == .current ? "keep what the tables show" : "write the values that lost into the tables"
            guard
                try PasswordPrompt.askYes(
                    "Resolve \(ConflictsResolveCommand.count(counted.matching)) on all PCs and \(what)?"
                )
            else { throw ClinicSyncError(.refused, "Nothing was changed: answer yes to resolve them.") }
        }
        decision.dryRun = false
        // What came since it was counted is nobody's decision.
        decision.expected = counted.matching
        let result = try await self.send(decision)
        if self.output.isJSON {
            try Output.json(result)
        } else {
            for left in result.left {
                try Output.line("\(left.id)  \(TerminalText.printable(left.reason))")
            }
            let resolved = ConflictsResolveCommand.count(result.resolved)
            Output.report(
                "\(resolved) \(result.resolved == 1 ? "is" : "are") resolved on all PCs: the \(choice.rawValue) "
                    + "\(result.resolved == 1 ? "value is" : "values are") kept"
            )
        }
        guard result.resolved == result.matching else {
            throw Refusal(
                message:
                    "\(ConflictsResolveCommand.count(result.matching - result.resolved)) stay open: do what the list "
                    + "says, or keep \"current\"."
            )
        }
    }

    private func send(_ decision: ConflictsDecision) async throws -> ConflictsResolution {
        try await self.data.request(
            .POST,
            "/v1/conflicts/resolve",
            body: decision,
            timeout: ConflictsResolveCommand.timeout
        )
    }

    private func decision(_ choice: ConflictChoice) throws -> ConflictsDecision {
        var decision = ConflictsDecision(keep: choice)
        decision.table = self.filters.table
        decision.column = self.filters.column
        decision.kind = try self.filters.kind.map { try ConflictsDecision.kind($0) }
        decision.pc = self.filters.pc
        decision.since = try self.filters.since.map { try ConflictsResolveCommand.time($0, option: "--since") }
        decision.until = try self.filters.until.map { try ConflictsResolveCommand.time($0, option: "--until") }
        return decision
    }

    /// Reads a day, a time, or how long ago something was.
    private static func time(_ text: String, option: String) throws -> UTCTimestamp {
        let forms = [text, text.replacing("Z", with: ".000Z"), text + "T00:00:00.000Z"]
        if let time = forms.lazy.compactMap({ UTCTimestamp($0) }).first { return time }
        let now = Date().timeIntervalSince1970
        guard let age = DurationText.parse(text),
            let time = Int64(exactly: ((now - age / .seconds(1)) * 1_000).rounded())
        else {
            throw ClinicSyncError(
                .usage,
                "\(option) is a day (2026-11-27), a time (2026-11-27T10:00:00Z) or how long ago it was (8h), in UTC, not \"\(text)\"."
            )
        }
        return UTCTimestamp(milliseconds: time)
    }

    private static func count(_ count: Int) -> String { count == 1 ? "1 conflict" : "\(count) conflicts" }
}
