import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

@Suite("Members that have joined and have nothing yet")
struct MemberStandingTests {
    private let members = [TestStore.node(1), TestStore.node(2), TestStore.node(3)]

    private func heard(_ node: NodeID, by store: TestStore, _ vector: VersionVector) throws {
        try store.writer.recordAcknowledged([
            MemberProgress(node: node, vector: vector, seenMilliseconds: store.now)
        ])
    }

    @Test("a member is joining until something of it has come, and while it says that it has nothing of others")
    func joining() throws {
        let (a, b, c) = (try TestStore(1), try TestStore(2), try TestStore(3))
        try a.sql("INSERT INTO patients(id) VALUES('p1')")
        try converge([a, b])
        try b.sql("INSERT INTO patients(id) VALUES('p2')")
        try converge([a, b])
        #expect(try a.reader.joiningMembers(among: self.members) == [c.origin.node])
        // Its own row comes before it has the state.
        try c.sql("INSERT INTO patients(id) VALUES('p3')")
        try c.send(to: a)
        try self.heard(c.origin.node, by: a, c.vector)
        #expect(try a.reader.joiningMembers(among: self.members) == [c.origin.node])
        try converge([a, b, c])
        try self.heard(c.origin.node, by: a, c.vector)
        #expect(try a.reader.joiningMembers(among: self.members) == [])
        // A host that never heard it knows it by what it wrote.
        #expect(try b.reader.joiningMembers(among: self.members) == [])
    }

    @Test("a PC that joins is joining until it has something of others; the first PC of a clinic never is")
    func own() throws {
        let queue = try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
        do {
            _ = try ReplicaWriter(
                database: StoreDatabase(single: queue),
                origin: Origin(node: TestStore.node(3)),
                isJoining: true,
                wallClock: { 1_800_000_000_000 }
            )
        }
        let (a, c) = (try TestStore(1), try TestStore(3, over: queue))
        try a.sql("INSERT INTO patients(id) VALUES('p1')")
        try a.collect()
        try c.sql("INSERT INTO patients(id) VALUES('p3')")
        try c.collect()
        #expect(try a.reader.joiningMembers(among: [a.origin.node]) == [])
        #expect(try c.reader.joiningMembers(among: self.members) == [c.origin.node])
        try converge([a, c])
        #expect(try c.reader.joiningMembers(among: [c.origin.node]) == [])
    }
}
