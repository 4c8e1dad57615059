import ClinicSyncClinic
import Logging

/// Removes notices older than two days, once an hour, only on the host.
struct NoticeKeeper: Sendable {
    private static let pause = Duration.seconds(3_600)
    private static let firstPause = Duration.seconds(60)

    let logger: Logger
    let storage: StorageService
    let isHost: @Sendable () -> Bool
    let corrected: @Sendable () -> Int64
    /// Called after rows were removed, so that the collector makes a batch of the removal.
    let wrote: @Sendable () -> Void

    /// Removes old notices until cancelled.
    func run() async throws {
        var pause = NoticeKeeper.firstPause
        while true {
            try await Task.sleep(for: pause)
            do {
                if self.isHost() { try await self.sweep() }
            } catch let error as ClinicSyncError {
                // The disk may have room in an hour. Replication does not depend on this.
                self.logger.warning("Old notices could not be removed", metadata: ["error.code": "\(error.code)"])
            }
            pause = NoticeKeeper.pause
        }
    }

    /// Removes old notices, and notices with a time in the future.
    ///
    /// - Returns: The number of removed notices.
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
