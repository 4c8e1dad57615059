import ArgumentParser
import ClinicSync
import ClinicSyncModel
import Foundation

/// `init`: makes a new clinic.
struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make a new clinic, with this PC as its first node."
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("The clinic's name.", valueName: "name")) var clinic = "Clinic"
    @Option(help: ArgumentHelp("This node's name; the PC's when left out.", valueName: "node")) var name: String?

    func run() throws {
        let directory = try self.data.directory()
        let identity = try NodeSetup.create(
            directory: directory,
            clinicName: self.clinic,
            nodeName: self.name ?? NodeDirectory.defaultNodeName()
        )
        try MembershipReport(identity, directory: directory).write(asJSON: self.output.isJSON)
        if !self.output.isJSON {
            Output.report("Start it with: clinic-node run --data \(directory.url.path)")
        }
    }
}

/// What `init` and `join` print.
struct MembershipReport: Encodable {
    private struct Named: Encodable {
        var id: String
        var name: String
    }

    private var node: Named
    private var clinic: Named
    private var directory: String
    private var database: String

    init(_ identity: NodeIdentity, directory: NodeDirectory) {
        self.node = Named(id: identity.nodeID.description, name: identity.nodeName)
        self.clinic = Named(id: identity.clinicID, name: identity.clinicName)
        self.directory = directory.url.path
        self.database = directory.databaseURL.path
    }

    func write(asJSON: Bool) throws {
        if asJSON { return try Output.json(self) }
        try Output.line("clinic    \(self.clinic.name)  \(self.clinic.id)")
        try Output.line("node      \(self.node.name)  \(self.node.id)")
        try Output.line("database  \(self.database)")
    }
}
