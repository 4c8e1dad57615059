import ArgumentParser
import ClinicSync
import Foundation
import GRDB

/// `seed`: made-up data for tests and demonstrations.
struct SeedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "seed",
        abstract: "Write realistic made-up data into the node's tables."
    )

    /// The most patients one call writes.
    static let patientsMax = 1_000_000

    @OptionGroup var data: DataOptions
    @Option(help: ArgumentHelp("How many patients, with all that belongs to them.", valueName: "n"))
    var patients = 100
    @Option(help: ArgumentHelp("The same seed gives the same data.", valueName: "s")) var seed: UInt64 = 1
    @Flag(help: "Write into a clinic that has patients already.") var force = false

    func validate() throws {
        guard (1...SeedCommand.patientsMax).contains(self.patients) else {
            throw ValidationError("--patients is from 1 to \(SeedCommand.patientsMax).")
        }
    }

    func run() throws {
        let directory = try self.data.directory()
        _ = try directory.identity()
        let path = directory.databaseURL.path
        if !self.force {
            let isEmpty = try SeedCommand.isEmpty(path: path)
            guard isEmpty else {
                throw Refusal(
                    message: "The clinic has patients already: use --force to add made-up ones, or another directory."
                )
            }
        }
        try RuntimeBridge.writeSampleData(seed: self.seed, patients: self.patients, path: path)
        Output.report("Wrote \(self.patients) patients with all that belongs to them.")
    }

    private static func isEmpty(path: String) throws -> Bool {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(10)
        do {
            return try DatabaseQueue(path: path, configuration: configuration).read { database in
                try Bool.fetchOne(database, sql: "SELECT NOT EXISTS (SELECT 1 FROM patients)") ?? true
            }
        } catch let error as DatabaseError {
            throw ClinicSyncError(
                .storage,
                "The database \(path) cannot be read: \(error.message ?? "look at its permissions").",
                cause: error
            )
        }
    }
}
