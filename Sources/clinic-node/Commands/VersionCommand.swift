import ArgumentParser
import ClinicSync

/// `version`: which program this is.
struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    private struct Report: Encodable {
        var version: String
    }

    @OptionGroup var output: OutputFormat

    func run() throws {
        if self.output.isJSON { return try Output.json(Report(version: SoftwareVersion.current)) }
        try Output.line("clinic-node \(SoftwareVersion.current)")
    }
}
