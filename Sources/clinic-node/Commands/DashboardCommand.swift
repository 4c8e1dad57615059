import ArgumentParser
import ClinicSync
import Foundation
import NIOHTTP1

/// `dashboard`: opens the node's page.
struct DashboardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dashboard",
        abstract: "Open the node's page in the browser, with a link that works once.",
        discussion: "The link works for one minute and on this PC only. The page that it opens works for twelve hours."
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Flag(name: .customLong("print"), help: "Only print the link.") var isPrintOnly = false

    func run() async throws {
        let link: DashboardLink = try await self.data.request(.POST, "/v1/dashboard-links")
        if self.output.isJSON { try Output.json(link) } else { try Output.line(link.url) }
        guard !self.isPrintOnly, !self.output.isJSON, DashboardCommand.hasDisplay else { return }
        self.open(link.url)
    }

    private static var hasDisplay: Bool {
        let environment = ProcessInfo.processInfo.environment
        return ["DISPLAY", "WAYLAND_DISPLAY"].contains { environment[$0].map { !$0.isEmpty } ?? false }
    }

    /// Starts the desktop's browser; the link is printed in any case.
    private func open(_ url: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["xdg-open", url]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            Output.report("No browser could be started: open the link yourself.")
        }
    }
}
