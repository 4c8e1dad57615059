import ArgumentParser
import ClinicSync
import Foundation
import NIOHTTP1

/// `status`: how the node is doing.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show role, host, peers, lag and tables."
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat

    func run() async throws {
        let status: NodeStatus = try await self.data.request(.GET, "/v1/status")
        if self.output.isJSON { return try Output.json(status) }
        let now = UTCTimestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000))
        for line in StatusText(status, style: .standardOutput, now: now).lines { try Output.line(line) }
    }
}
