import ArgumentParser
import ClinicSync
import ClinicSyncStorage
import Foundation

/// `digest`: the contents of the tables in a form that can be compared.
struct DigestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "digest",
        abstract: "Print rows and content digest of each replicated table.",
        discussion:
            "Reads the tables themselves, whether the node runs or not. Equal content gives equal digests."
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Only this table.", valueName: "table")) var table: String?

    func run() throws {
        let directory = try self.data.directory()
        _ = try directory.identity()
        let summary = DigestSummary(
            try DatabaseDigest.compute(path: directory.databaseURL.path, table: self.table)
        )
        if self.output.isJSON { return try Output.json(summary) }
        var table = TextTable([("TABLE", .left), ("ROWS", .right), ("DIGEST", .left)])
        for entry in summary.tables { table.add([entry.name, String(entry.rows), entry.digest]) }
        if self.table == nil {
            let rows = summary.tables.reduce(UInt64(0)) { $0 + $1.rows }
            table.add(["all", String(rows), summary.digest])
        }
        try Output.table(table)
    }
}
