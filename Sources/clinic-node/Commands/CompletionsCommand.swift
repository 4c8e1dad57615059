import ArgumentParser

/// `completions`: prints a script with which a shell completes commands and options.
struct CompletionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completions",
        abstract: "Print a completion script for bash, zsh or fish."
    )

    @Argument(help: "bash, zsh or fish.") var shell: String

    func run() throws {
        guard let shell = CompletionShell(rawValue: self.shell) else {
            throw ValidationError("There are completions for bash, zsh and fish, not for \"\(self.shell)\".")
        }
        try Output.script(ClinicNodeCommand.completionScript(for: shell))
    }
}
