import ArgumentParser
import ClinicSync

/// The command line of `clinic-node`.
struct ClinicNodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clinic-node",
        abstract: "Keeps a complete SQLite copy of the clinic's tables on every PC.",
        discussion: """
            Exit status: 0 done, 1 failed or not proven equal, 2 refused (a person must decide), 64 wrong usage, \
            69 the node does not run or cannot be reached, 78 wrong configuration.
            """,
        version: "clinic-node \(SoftwareVersion.current)",
        subcommands: [
            InitCommand.self, InviteCommand.self, JoinCommand.self, RunCommand.self, StatusCommand.self,
            NodesCommand.self, HostCommand.self, UsersCommand.self, SessionsCommand.self, TokensCommand.self,
            ConflictsCommand.self,
            WhyCommand.self, DashboardCommand.self, NotifyCommand.self, ProbeCommand.self,
            DoctorCommand.self, SyncCommand.self, WatchCommand.self, DigestCommand.self, BackupCommand.self,
            RestoreCommand.self,
            SeedCommand.self, DemoCommand.self,
            BenchCommand.self, VersionCommand.self, ConfigCommand.self, CompletionsCommand.self,
        ]
    )
}

/// Parses and runs the command, and turns every error into one sentence and an exit status.
@main
enum Main {
    static func main() async {
        do {
            var command = try ClinicNodeCommand.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            ErrorReport.exit(with: error)
        }
    }
}
