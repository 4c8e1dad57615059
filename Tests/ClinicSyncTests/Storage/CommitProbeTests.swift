import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import Testing

@Suite("Looking for commits of other programs")
struct CommitProbeTests {
    @Test("a probe that was closed looks at nothing any more, however late it is asked")
    func closedProbe() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("clinic.db").path()
        try SQLiteReplicaStore.create(at: directory.file("clinic.db"), origin: Origin(node: NodeID(high: 1, low: 1)))
        let probe = try CommitProbe(path: path)
        #expect(probe.hasChanged())
        #expect(!probe.hasChanged())
        probe.close()
        #expect(!probe.hasChanged())
        probe.close()
        #expect(!probe.hasChanged())
    }
}
