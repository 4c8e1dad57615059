import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// Compares and repairs the clinic's tables for people.
struct NodeTableControl: TableControl {
    let storage: StorageService
    let driver: NodeDriver
    let clock: NodeClock

    func digest(table: String?) async throws -> DigestSummary {
        DigestSummary(
            try await StorageErrors.mapping {
                try await self.storage.read { try $0.realDigests(table: table) }
            }
        )
    }

    func sync(table: String?, timeout: Duration) async throws -> SyncSummary {
        if let table {
            let names = try await StorageErrors.mapping { try await self.storage.read { $0.clinicTables } }
            guard names.contains(table) else { throw ClinicSyncError(.usage, UnknownTable(name: table).description) }
        }
        let started = self.clock.now.monotonic
        let tooLong = ClinicSyncError(
            .timeout,
            "The sync took longer than \(DurationText.format(timeout)): try again with a larger --timeout."
        )
        // The first result counts. The core ends every sync within its own limit, so the other task ends soon.
        let reply = try await withThrowingTaskGroup(of: CommandReply.self) { tasks in
            tasks.addTask { await self.driver.perform(.sync(table: table)) }
            tasks.addTask {
                try await Task.sleep(for: timeout)
                throw tooLong
            }
            defer { tasks.cancelAll() }
            guard let first = try await tasks.next() else { throw tooLong }
            return first
        }
        guard case .synced(let report) = reply else { throw tooLong }
        return SyncSummary(report, took: self.clock.now.monotonic - started)
    }
}
