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
            nothing that was deleted meanwhile comes back. To undo changes on all PCs is another matter: restore does not.
            """
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Argument(help: "The file of a backup of this clinic.", completion: .file()) var file: String

    func run() throws {
        let directory = try self.data.directory()
        let restored = try NodeBackup(directory: directory, path: self.file).restore()
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
        Output.report("Start it with: clinic-node run --data \(directory.url.path)")
    }
}
