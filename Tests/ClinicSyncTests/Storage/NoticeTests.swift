import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Testing

@Suite("Notices to programs")
struct NoticeTests {
    private func notice(
        _ id: String,
        _ text: String = "Water is off until ten",
        at: Int64,
        node: NodeID? = nil,
        user: String? = nil
    ) -> [String: SQLiteValue] {
        [
            "id": .string(id), "text": .string(text), "createdAt": .integer(at), "createdBy": .string("author"),
            "node": node.map { .string($0.description) } ?? .null, "userId": user.map { .string($0) } ?? .null,
        ]
    }

    /// The notices that a store sent to programs, oldest first.
    private func told(_ store: TestStore) throws -> [NamedEvent] {
        try store.reader.events(after: 0, limit: 1_000).events.compactMap(\.named).filter { $0.type == "notice" }
    }

    @Test("every node tells its programs once, with what was said, by whom and when")
    func everyNode() throws {
        let stores = try (1...3).map { try TestStore($0) }
        let author: [String: SQLiteValue] = ["id": .string("author"), "name": .string("Front desk")]
        try stores[0].writer.putAgentRow(table: "clinicsync_node", values: author)
        let at = stores[0].now
        try stores[0].writer.putAgentRow(table: "clinicsync_notice", values: self.notice("n1", at: at))
        let events = try stores[0].collect().events
        #expect(events.compactMap(\.named).map(\.type) == ["notice"])
        #expect(events.contains { $0.position > 0 })
        try converge(stores)
        try converge(stores)
        for store in stores {
            let told = try self.told(store)
            #expect(told.count == 1)
            let event = try #require(told.first)
            #expect(event.category == .system)
            #expect(event.recordID == "n1")
            #expect(event.timestamp.milliseconds == at)
            #expect(event.fields["text"] == .text("Water is off until ten"))
            #expect(event.fields["from"] == .object(["id": .text("author"), "name": .text("Front desk")]))
            #expect(event.fields["createdAt"] == .text("2027-01-15T08:00:00.000Z"))
            #expect(event.userID == nil)
        }
        try expectEqual(stores)
    }

    @Test("one for a node is told there alone, one for a user everywhere, with the user")
    func targets() throws {
        let stores = try (1...2).map { try TestStore($0) }
        let at = stores[0].now
        let forSecond = self.notice("n1", at: at, node: stores[1].origin.node)
        try stores[0].writer.putAgentRow(table: "clinicsync_notice", values: forSecond)
        try stores[0].writer.putAgentRow(table: "clinicsync_notice", values: self.notice("n2", at: at, user: "ana"))
        try converge(stores)
        #expect(try self.told(stores[0]).map(\.recordID) == ["n2"])
        #expect(try self.told(stores[1]).map(\.recordID) == ["n1", "n2"])
        let event = try #require(try self.told(stores[1]).last)
        #expect(event.userID == "ana")
        #expect(event.category == .user)
    }

    @Test("a node that comes back within a day tells, one that was away for longer does not")
    func absent() throws {
        let (author, soon, late) = (try TestStore(1), try TestStore(2), try TestStore(3))
        try author.writer.putAgentRow(table: "clinicsync_notice", values: self.notice("n1", at: author.now))
        try author.collect()
        soon.now += 86_399_000
        late.now += 86_401_000
        try author.send(to: soon)
        try author.send(to: late)
        #expect(try self.told(soon).count == 1)
        #expect(try self.told(late).isEmpty)
        // The notice does not come later either, when another notice comes.
        try author.writer.putAgentRow(table: "clinicsync_notice", values: self.notice("n2", at: late.now))
        author.now = late.now
        try author.send(to: late)
        #expect(try self.told(late).map(\.recordID) == ["n2"])
    }

    @Test("a notice that is deleted and comes back, or is changed, is not told again")
    func once() throws {
        let store = try TestStore(1)
        let row = self.notice("n1", at: store.now)
        try store.writer.putAgentRow(table: "clinicsync_notice", values: row)
        try store.collect()
        #expect(try store.writer.deleteAgentRows(table: "clinicsync_notice", keys: [.string("n1")]) == 1)
        #expect(try store.writer.deleteAgentRows(table: "clinicsync_notice", keys: [.string("n1")]) == 0)
        try store.collect()
        #expect(try store.reader.agentRows("clinicsync_notice").isEmpty)
        try store.writer.putAgentRow(table: "clinicsync_notice", values: row)
        try store.collect()
        try store.sql("UPDATE clinicsync_notice SET text = 'other'")
        try store.collect()
        #expect(try self.told(store).count == 1)
    }

    @Test("a deletion reaches the others, with the last values in case somebody needs them")
    func deletion() throws {
        let stores = try (1...2).map { try TestStore($0) }
        try stores[0].writer.putAgentRow(
            table: "clinicsync_notice",
            values: self.notice("n1", at: stores[0].now)
        )
        try converge(stores)
        try stores[1].writer.deleteAgentRows(table: "clinicsync_notice", keys: [.string("n1")])
        try converge(stores)
        try expectEqual(stores)
        for store in stores { #expect(try store.reader.agentRows("clinicsync_notice").isEmpty) }
    }

    @Test("whatever a program writes into the table stops nothing and is not told")
    func nonsense() throws {
        let stores = try (1...2).map { try TestStore($0) }
        let at = stores[0].now
        try stores[0].sql(
            """
            INSERT INTO clinicsync_notice (id, text, createdAt) VALUES
                ('a' || char(0) || 'b', 'cut off', \(at)), ('a', 'plain', \(at)), (x'00ff', 'blob', \(at)),
                ('empty', '', \(at)), ('bell', 'a' || char(7), \(at)), ('number', 7, 'yesterday'),
                ('future', 'later', 9223372036854775807), ('past', 'before', -1),
                ('long', printf('%.*c', 1001, 'x'), \(at))
            """
        )
        try converge(stores)
        try stores[0].sql("UPDATE clinicsync_notice SET createdBy = 'x'")
        try converge(stores)
        try expectEqual(stores)
        for store in stores { #expect(try self.told(store).map(\.recordID) == ["a"]) }
    }
}
