import ArgumentParser
import ClinicSync
import ClinicSyncClinic
import Foundation

/// `seed`: made-up data for tests and demonstrations.
struct SeedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "seed",
        abstract: "Write realistic made-up data into the node's tables.",
        discussion: """
            Works whether the node runs or not. The same seed gives the same people, visits and bills on the same day; \
            ids, user names, invoice and receipt numbers are new each time, so that two PCs never make the same.
            """
    )

    /// The most patients one call writes.
    static let patientsMax = 1_000_000

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("How many patients, with their histories, bills and other rows.", valueName: "n"))
    var patients = 100
    @Option(help: ArgumentHelp("The same seed gives the same data.", valueName: "s")) var seed: UInt64 = 1
    @Flag(help: "Write even if the clinic already has data.") var force = false

    func validate() throws {
        guard (1...SeedCommand.patientsMax).contains(self.patients) else {
            throw ValidationError("--patients is from 1 to \(SeedCommand.patientsMax).")
        }
    }

    func run() throws {
        let directory = try self.data.directory()
        _ = try directory.identity()
        let path = directory.databaseURL.path
        // Asked in any case: it also finds out that there is no database to write to.
        let isEmpty = try RuntimeBridge.isEmpty(path: path)
        guard isEmpty || self.force else {
            throw Refusal(
                message: "The clinic already has data: use --force to add made-up data, or use another directory."
            )
        }
        let counts = try RuntimeBridge.writeSampleData(seed: self.seed, patients: self.patients, path: path)
        if self.output.isJSON { return try Output.json(SeedReport(seed: self.seed, tables: counts)) }
        var table = TextTable([("TABLE", .left), ("ROWS", .right)])
        for count in counts { table.add([count.name, String(count.rows)]) }
        table.add(["all", String(counts.reduce(0) { $0 + $1.rows })])
        try Output.table(table)
    }
}

/// The output of `seed --json`.
private struct SeedReport: Encodable {
    var seed: UInt64
    var tables: [SampleData.Count]
}
