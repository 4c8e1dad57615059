import ArgumentParser
import ClinicSync
import Foundation

/// `join`: makes this PC a member of a clinic.
struct JoinCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join",
        abstract: "Join a clinic with a code that clinic-node invite printed.",
        discussion: """
            A name that another PC of the clinic has is refused; without --name this PC gets a number behind its name. After a \
            power cut in the middle the same command goes on, and uses the code once.
            """
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Argument(help: "The join code; hyphens and case do not matter.") var code: String
    @Option(help: ArgumentHelp("The address of the host, if it is not the one in the code.", valueName: "addr:port"))
    var host: String?
    @Option(help: ArgumentHelp("This node's name; without this option, the PC's name.", valueName: "node"))
    var name: String?

    @Flag(help: "Start the node as a service, now and with the PC; for the package, as root.") var service = false

    func run() async throws {
        let directory = try self.data.newDirectory(isService: self.service)
        let code = try JoinCode(parsing: self.code)
        let host = try self.host.map { try NetworkAddress(parsing: $0).description }
        let identity = try await NodeSetup.join(
            directory: directory,
            code: code,
            host: host,
            nodeName: self.name ?? NodeDirectory.defaultNodeName(),
            isNameFixed: self.name != nil
        )
        try MembershipReport(identity, directory: directory).write(asJSON: self.output.isJSON)
        if self.service {
            try NodeDirectory.becomeRootAgain()
            try SystemService.start()
        } else if !self.output.isJSON {
            Output.report(SystemService.nextStep(for: directory))
        }
    }
}
