import ArgumentParser
import ClinicSync

/// `backup`: copies the node's database into a file.
struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copy the node's database into a new file, while it is in use.",
        discussion: """
            Works whether the node runs or not, and keeps no program waiting. The file is complete and checked when the \
            command ends with 0. It has all tables of the clinic but the sessions, and neither keys nor tokens. \
            clinic-node restore brings it back.
            """
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Argument(help: "The new file; a file that exists is never overwritten.", completion: .file()) var file: String

    func run() async throws {
        let made = try await NodeBackup(directory: self.data.directory(), path: self.file).make()
        if made.uncollected > 0 {
            Output.report(
                "\(made.uncollected) rows were written at the moment of the copy and may come twice after a restore"
            )
        }
        if self.output.isJSON { return try Output.json(made) }
        try Output.line("backup  \(made.file)")
        try Output.line("rows    \(made.rows)")
        try Output.line("bytes   \(made.bytes)")
    }
}
