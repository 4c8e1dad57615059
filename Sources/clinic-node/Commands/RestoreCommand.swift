import ArgumentParser
import ClinicSync
import Foundation

/// `restore`: puts a backup in the place of the node's database.
struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Put a backup in the place of the node's database.",
        discussion: """
            The node must be stopped. The database that is there stays under another name, and its changes that the backup \
            lacks are merged in. After the start the node gets from the other PCs what happened since the backup, so \
            nothing that was deleted meanwhile comes back. \
            With --whole-clinic every PC of the clinic goes back to the backup: each sets its database aside under another \
            name, and nothing of it is merged. That needs a PC with the right to sign.
            """
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Flag(help: "Bring all PCs of the clinic back to the backup.") var wholeClinic = false
    @Flag(help: "With --whole-clinic: do not ask.") var yes = false
    @Argument(help: "The file of a backup of this clinic.", completion: .file()) var file: String

    func validate() throws {
        guard self.wholeClinic || !self.yes else { throw ValidationError("--yes belongs to --whole-clinic.") }
    }

    func run() throws {
        let directory = try self.data.directory()
        let backup = try NodeBackup(directory: directory, path: self.file)
        if self.wholeClinic { return try self.bringBack(backup, directory) }
        let restored = try backup.restore()
        if self.output.isJSON { return try Output.json(restored) }
        try Output.line("restored  \(directory.databaseURL.path)")
        if let madeAt = restored.madeAt { try Output.line("backup    \(madeAt)") }
        if let aside = restored.aside { try Output.line("former    \(aside)") }
        try Output.line("merged    \(restored.mergedBatches) batches of the former database")
        if restored.unreadable > 0 {
            Output.report("\(restored.unreadable) places in the log of the former database could not be read")
        }
        if let reason = restored.notTakenOver {
            Output.report("what programs wrote last into the former database was not taken over: \(reason)")
        }
        if restored.isOfFormerEpoch {
            Output.report(
                "The backup is from before the whole clinic was brought back to another one: all PCs will have again what it has."
            )
        }
        Output.report(SystemService.nextStep(for: directory))
    }

    // MARK: - The whole clinic

    private func bringBack(_ backup: NodeBackup, _ directory: NodeDirectory) throws {
        if !self.yes { try self.confirm(try backup.prospect()) }
        let result = try backup.bringBack()
        if self.output.isJSON { return try Output.json(result) }
        try Output.line("restored  \(directory.databaseURL.path)")
        if let madeAt = result.madeAt { try Output.line("backup    \(madeAt)") }
        try Output.line("epoch     \(result.epoch)")
        if let aside = result.aside { try Output.line("former    \(aside)") }
        if let reason = result.notRead { Output.report("the former database could not be read in full: \(reason)") }
        Output.report("Every other PC follows when it connects and no program has its clinic.db open.")
        Output.report(SystemService.nextStep(for: directory))
    }

    /// Asks the person, who must know what the clinic will not show any more.
    private func confirm(_ prospect: NodeBackup.Prospect) throws {
        guard PasswordPrompt.isInteractive else {
            throw ClinicSyncError(.usage, "Nothing was changed: --whole-clinic asks on a terminal, or needs --yes.")
        }
        for line in RestoreCommand.lines(of: prospect) { Output.report(line) }
        guard try PasswordPrompt.askYes("Bring all PCs of the clinic back to the backup?") else {
            throw ClinicSyncError(.refused, "Nothing was changed: answer yes to bring the clinic back.")
        }
    }

    private static func lines(of prospect: NodeBackup.Prospect) -> [String] {
        let time = prospect.madeAt.map { "of \($0)" } ?? "(which does not say when it was made)"
        var lines = ["All PCs of the clinic will show what the backup \(time) has, and nothing that was entered since."]
        switch prospect.differences {
        case nil: lines.append("How many rows that concerns cannot be counted here.")
        case .some(let tables) where tables.isEmpty: lines.append("This PC shows the same rows as the backup.")
        case .some(let tables):
            lines.append("On this PC that concerns:")
            for table in tables {
                lines.append(
                    "  \(table.table): \(table.added) added, \(table.changed) changed, \(table.deleted) deleted since"
                )
            }
        }
        return lines + ["Each PC keeps its present database beside the new one, as clinic.db.set-aside-…"]
    }
}
