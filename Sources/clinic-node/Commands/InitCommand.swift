import ArgumentParser
import ClinicSync
import ClinicSyncClinic
import ClinicSyncModel
import Foundation

/// `init`: makes a new clinic.
struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make a new clinic, with this PC as its first node.",
        discussion: """
            Makes the clinic's first user too, an administrator. On a terminal it asks for the name and the password; without \
            one it takes them from the options, or makes a password and prints it once, on standard error. There is no \
            default password.
            """
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("The clinic's name.", valueName: "name")) var clinic = "Clinic"
    @Option(help: ArgumentHelp("This node's name; without this option, the PC's name.", valueName: "node"))
    var name: String?

    @Flag(help: "Start the node as a service, now and with the PC; for the package, as root.") var service = false
    @Option(help: ArgumentHelp("The first user, an administrator.", valueName: "user")) var admin: String?
    @Option(
        help: ArgumentHelp(
            "The first user's password: the first line of a file, or of standard input with -.",
            valueName: "file"
        ),
        completion: .file()
    )
    var adminPasswordFile: String?

    func run() throws {
        let directory = try self.data.newDirectory(isService: self.service)
        // Before anybody types a password in vain.
        try directory.requireVacant()
        let (admin, isMade) = try self.firstAdministrator()
        let identity = try NodeSetup.create(
            directory: directory,
            clinicName: self.clinic,
            nodeName: self.name ?? NodeDirectory.defaultNodeName(),
            admin: admin
        )
        try MembershipReport(identity, directory: directory).write(asJSON: self.output.isJSON)
        if isMade {
            Output.report("The password of \(admin.username) is \(admin.password) and is shown only now: write it down")
        }
        if self.service {
            try NodeDirectory.becomeRootAgain()
            try SystemService.start()
        } else if !self.output.isJSON {
            Output.report(SystemService.nextStep(for: directory))
        }
    }

    /// The first user, and whether its password was made here.
    private func firstAdministrator() throws -> (FirstAdministrator, isMade: Bool) {
        if let file = self.adminPasswordFile {
            let name = self.admin ?? FirstAdministrator.defaultUsername
            return (FirstAdministrator(username: name, password: try PasswordPrompt.read(file: file)), false)
        }
        guard PasswordPrompt.isInteractive else {
            let name = self.admin ?? FirstAdministrator.defaultUsername
            return (FirstAdministrator(username: name, password: FirstAdministrator.makePassword()), true)
        }
        let name = try self.admin ?? PasswordPrompt.askName(default: FirstAdministrator.defaultUsername)
        try StorageErrors.mapping { try UserAdministration.check(username: name) }
        if let password = try PasswordPrompt.askNew(for: name, mayBeEmpty: true) {
            return (FirstAdministrator(username: name, password: password), false)
        }
        return (FirstAdministrator(username: name, password: FirstAdministrator.makePassword()), true)
    }
}

/// The output of `init` and `join`.
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
