import ArgumentParser
import ClinicSync
import Foundation

/// `doctor`: tests the node and its PC, and says what to do.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Test ports, multicast, peers, clock, disk and files, and say what to do.",
        discussion: """
            Works whether the node runs or not, and changes nothing. The exit status is 0 when nothing failed. --report \
            writes a file with what a supporter needs: findings, status, settings and the last lines of the log. It has \
            names and addresses of PCs, and no patients' data.
            """
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Write a report for a supporter into this new file.", valueName: "file"))
    var report: String?

    func run() async throws {
        let directory = try self.data.directory()
        let configuration = try NodeConfiguration.load(
            from: directory,
            flags: [:],
            environment: ProcessInfo.processInfo.environment
        )
        let (examination, status, nodes) = try await Doctor(directory: directory, configuration: configuration)
            .examine()
        if let report {
            try SupportReport(directory: directory, configuration: configuration)
                .write(to: URL(fileURLWithPath: report), examination, status, nodes)
        }
        if self.output.isJSON { try Output.json(examination) } else { try self.print(examination) }
        if let report {
            Output.report("the report is in \(report): it has names and addresses of PCs, and no patients' data")
        }
        guard examination.failed == 0 else { throw ExitCode(ExitCodes.failed) }
    }

    private func print(_ examination: Doctor.Examination) throws {
        let now = UTCTimestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000))
        let style = Style.standardOutput
        for line in FindingText(style: style, now: now).lines(of: examination.findings, indent: 0) {
            try Output.line(line)
        }
        let score = examination.score
        try Output.line("")
        try Output.line(
            examination.failed > 0
                ? style.bad(score) : examination.warnings > 0 ? style.warning(score) : style.good(score)
        )
    }
}
