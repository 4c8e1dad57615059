import ArgumentParser
import ClinicSync
import NIOHTTP1

/// `why`: who wrote a value, when, and which values lost to it.
struct WhyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why",
        abstract: "Show who wrote each value of a row, when, and which values lost to it.",
        discussion: """
            Works also for rows that are deleted or hidden. An id may contain slashes: the part after the last slash is a field \
            only if no row has the whole text as its id.
            """
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Argument(help: ArgumentHelp("A row, or one field of a row.", valueName: "TABLE/ID[/FIELD]")) var path: String

    func run() async throws {
        let report: WhySummary = try await self.data.request(.GET, "/v1/why", query: [("path", self.path)])
        if self.output.isJSON {
            try Output.json(report)
        } else {
            for line in WhyCommand.lines(report) { try Output.line(TerminalText.printable(line)) }
        }
        if report.state == "unknown" { throw ExitCode(1) }
    }

    private static func lines(_ report: WhySummary) -> [String] {
        let row = "\(report.table)/\(report.recordId)"
        var lines: [String]
        switch (report.state, report.deleted) {
        case ("unknown", _):
            guard let since = report.historySince else { return ["This PC has never had the row \(row)."] }
            return ["This PC has not had the row \(row) since it got the other PCs' rows without history, at \(since)."]
        case ("deleted", let author?): lines = ["\(row) was deleted by \(self.text(author))."]
        case ("hidden", _): lines = ["\(row) is not shown in its table."]
        case (_, let author?): lines = ["\(row) is shown, though it was deleted by \(self.text(author))."]
        default: lines = ["\(row) is shown."]
        }
        lines += report.conflicts.map { "  \($0.sentence) (\($0.id))" }
        for column in report.columns {
            let author = column.author.map { "by \(self.text($0))" } ?? "just now on this PC"
            lines.append("\(column.column): \(column.value)")
            lines.append("  \(author)")
            lines += column.beat.map { "  \($0.sentence) (\($0.id))" }
        }
        if let since = report.historySince {
            lines.append("History on this PC begins at \(since), when it got the other PCs' rows.")
        }
        return lines
    }

    private static func text(_ author: WhySummary.Author) -> String {
        guard author.number > 0 else { return author.originName }
        let name = author.originName.isEmpty ? author.origin : author.originName
        return "\(name) at \(author.timestamp) (\(author.origin):\(author.number))"
    }
}
