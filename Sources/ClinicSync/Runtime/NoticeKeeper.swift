import ClinicSyncModel
import ClinicSyncStorage
import Logging

/// Removes notices that are older than two days, once an hour, on the host alone.
struct NoticeKeeper: Sendable {
    /// How long a notice is kept: a day for those that come back, and one for clocks.
    static let keptMilliseconds: Int64 = 2 * 86_400_000
    /// Notices that may be in the table; more cannot be sent until some are old.
    static let noticesMax = 1_000
    private static let pause = Duration.seconds(3_600)
    private static let firstPause = Duration.seconds(60)

    let logger: Logger
    let storage: StorageService
    let isHost: @Sendable () -> Bool
    let corrected: @Sendable () -> Int64
    /// Called when rows were removed, so that this is collected.
    let wrote: @Sendable () -> Void

    /// Removes until cancelled.
    func run() async throws {
        var pause = NoticeKeeper.firstPause
        while true {
            try await Task.sleep(for: pause)
            do {
                if self.isHost() { try await self.sweep() }
            } catch let error as ClinicSyncError {
                // In an hour there may be room on the disk; replication has nothing to do with it.
                self.logger.warning("Old notices could not be removed", metadata: ["error.code": "\(error.code)"])
            }
            pause = NoticeKeeper.pause
        }
    }

    /// Removes what is old, and what claims to be from the future.
    ///
    /// - Returns: How many were removed.
    @discardableResult
    func sweep() async throws -> Int {
        let now = self.corrected()
        let kept = (now - NoticeKeeper.keptMilliseconds)...(now + NoticeKeeper.keptMilliseconds)
        let count = try await StorageErrors.mapping {
            let rows = try await self.storage.read { try $0.agentRows(AgentTables.notices) }
            let old = rows.filter { !kept.contains(AgentTables.integer($0["createdAt"]) ?? 0) }.compactMap { $0["id"] }
            guard !old.isEmpty else { return 0 }
            return try await self.storage.write { try $0.deleteAgentRows(table: AgentTables.notices, keys: old) }
        }
        if count > 0 { self.wrote() }
        return count
    }
}
