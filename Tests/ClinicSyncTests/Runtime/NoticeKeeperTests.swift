import ClinicSyncClinic
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import Logging
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSync

@Suite("Removing old notices", .timeLimit(.minutes(1))) struct NoticeKeeperTests {
    @Test("what is older than two days goes, and what claims to be from the future")
    func sweep() async throws {
        let directory = try TemporaryDirectory()
        let origin = Origin(node: NodeID(high: 1, low: 2))
        try SQLiteReplicaStore.create(at: directory.file("clinic.db"), origin: origin)
        let now: Int64 = 1_800_000_000_000
        let storage = try await StorageService.open(
            StorageService.Opening(
                path: directory.file("clinic.db").path,
                origin: origin,
                retention: .seconds(1),
                wallClock: { now }
            )
        )
        let (day, wrote) = (Int64(86_400_000), NIOLockedValueBox(0))
        let rows = ["old": now - 2 * day - 1, "kept": now - 2 * day, "new": now, "later": now + 3 * day]
        try await storage.write { writer in
            for (id, time) in rows.sorted(by: { $0.key < $1.key }) {
                let values: [String: SQLiteValue] = [
                    "id": .text(Array(id.utf8)), "text": .text([65]), "createdAt": .integer(time),
                ]
                try writer.putAgentRow(table: NoticeTable.name, values: values)
            }
        }
        let keeper = NoticeKeeper(
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            storage: storage,
            isHost: { true },
            corrected: { now },
            wrote: { wrote.withLockedValue { $0 += 1 } }
        )
        let first = try await keeper.sweep()
        let second = try await keeper.sweep()
        #expect(first == 2)
        #expect(second == 0)
        let times = wrote.withLockedValue { $0 }
        #expect(times == 1)
        let left = try await storage.read { try $0.agentRows(NoticeTable.name) }
        #expect(left.compactMap { AgentTables.text($0["id"]) } == ["kept", "new"])
        try await storage.close()
        withExtendedLifetime(directory) {}
    }
}
