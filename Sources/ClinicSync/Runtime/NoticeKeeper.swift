import ClinicSyncClinic
import Logging

/// Removes notices that are older than two days, once an hour, on the host alone.
struct NoticeKeeper: Sendable {
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
        let count = try await StorageErrors.mapping {
            let old = try await self.storage.read { try NoticeTable.outdated(at: now, $0) }
            guard !old.isEmpty else { return 0 }
            return try await self.storage.write { try NoticeTable.remove(old, $0) }
        }
        if count > 0 { self.wrote() }
        return count
    }
}
