import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import Testing

@Suite("The recorded term")
struct TermTests {
    @Test("a new store has term 0, and a recorded term is there when the file is opened again")
    func survivesReopening() throws {
        let directory = try TemporaryDirectory()
        let origin = Origin(node: NodeID(high: 0xC11, low: 1))
        let file = directory.url.appending(path: "clinic.db")
        try SQLiteReplicaStore.create(at: file, origin: origin)
        for (before, term) in [(0, 3), (3, 1 << 40), (1 << 40, Bounds.termMax)] as [(UInt64, UInt64)] {
            let writer = try ReplicaWriter(database: .open(path: file.path), origin: origin, wallClock: { 0 })
            #expect(try writer.state().term == before)
            let executor = WritingExecutor(writer, retentionMilliseconds: 0)
            #expect(executor.perform(.recordTerm(term)) == .termRecorded(term))
            #expect(try writer.state().term == term)
            try writer.close()
        }
    }

    @Test("a lower term than the recorded one changes nothing, and the reply says which is recorded")
    func neverGoesDown() throws {
        let store = try TestStore(1)
        let executor = WritingExecutor(store.writer, retentionMilliseconds: 0)
        #expect(executor.perform(.recordTerm(7)) == .termRecorded(7))
        #expect(executor.perform(.recordTerm(6)) == .termRecorded(7))
        #expect(executor.perform(.recordTerm(7)) == .termRecorded(7))
        #expect(try store.writer.state().term == 7)
    }

    @Test("a term costs no batch, is no row of the clinic, and is not replicated")
    func isLocal() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        _ = try a.writer.recordTerm(9)
        #expect(try a.vector.isEmpty)
        try converge([a, b])
        #expect(try b.writer.state().term == 0)
        try expectEqual([a, b])
    }
}
