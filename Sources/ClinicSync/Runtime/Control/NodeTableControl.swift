import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// Compares and repairs the clinic's tables for people.
struct NodeTableControl: TableControl {
    let storage: StorageService
    let driver: NodeDriver
    let clock: NodeClock
    let inbox: Inbox
    /// What is known of the other members.
    let others: ClinicMembers
    /// Makes the collector check at once for rows that programs wrote.
    let wrote: @Sendable () -> Void

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
            guard names.contains(table) else {
                throw ClinicSyncError(.usage, UnknownTable(name: table, among: names).description)
            }
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
        let took = self.clock.now.monotonic - started
        return SyncSummary(report, missing: try await self.missing(from: report), took: took)
    }

    /// The members that have not lapsed and are not in a report.
    private func missing(from report: SyncReport) async throws -> [SyncSummary.Node] {
        guard let core = await self.inbox.status() else { return [] }
        let compared = Set(report.nodes.map(\.id))
        return try await self.others.all(core).filter { !compared.contains($0.id) }.map { member in
            SyncSummary.Node(
                id: member.id.description,
                name: member.standing.name,
                result: ReconciliationResult.unreachable.name,
                since: member.seen.map(UTCTimestamp.init(milliseconds:)),
                reason: member.absence ?? "connected after the comparison had begun"
            )
        }
    }

    /// How long the collector may take before a backup, for example after a large import.
    private static let collectionLimit = Duration.seconds(60)
    /// The pause between two looks whether programs' rows are collected.
    private static let pause = Duration.milliseconds(10)

    func prepareBackup() async throws {
        let end = self.clock.now.monotonic + NodeTableControl.collectionLimit
        while try await !StorageErrors.mapping({ try await self.storage.writeForPeople { try $0.prepareCopy() } }) {
            guard self.clock.now.monotonic < end else {
                throw ClinicSyncError(
                    .timeout,
                    "Programs write so much that the node has not caught up: make the backup when they are done."
                )
            }
            self.wrote()
            try await Task.sleep(for: NodeTableControl.pause)
        }
    }
}
