import ClinicSyncCore
import ClinicSyncModel
import Foundation
import GRDB
import Testing

@testable import ClinicSyncStorage

@Suite("The log of events in the store")
struct EventLogTests {
    private func insert(_ ids: some Sequence<String>, into store: TestStore) throws {
        for id in ids { try store.sql("INSERT INTO patients(id) VALUES (?)", [id]) }
    }

    @Test("every change is written down once, in order, as it is told")
    func recorded() throws {
        let stores = [try TestStore(1), try TestStore(2)]
        let start = try stores[0].reader.events(after: 0, limit: 10).newest
        #expect(start == UInt64(stores[0].now) << 10)
        try self.insert(["p1", "p2"], into: stores[0])
        var told = try stores[0].collect().events
        try stores[0].sql("UPDATE patients SET fullName = 'Ana', email = 'e' WHERE id = 'p2'")
        try stores[1].sql(
            """
            INSERT INTO payments(id, billId, patientId, patientName, referenceNumber, paymentDate, amountPaid,
            paymentMethod, receivedByUserId) VALUES ('y', 'b', 'p', 'Ana', 'r', 'd', 1, 'cash', 'u')
            """
        )
        told += try stores[0].collect().events
        told += try stores[1].send(to: stores[0]).events
        try stores[0].sql("DELETE FROM patients WHERE id = 'p1'")
        told += try stores[0].collect().events
        let page = try stores[0].reader.events(after: 0, limit: 100)
        #expect(page.events == told)
        #expect(page.events.map(\.position) == Array(start + 1...start + 5))
        #expect(page.oldest == start + 1)
        #expect(page.newest == start + 5)
        let changes = page.events.compactMap(\.change)
        #expect(changes.map(\.operation) == [.insert, .insert, .update, .insert, .delete])
        #expect(changes.map(\.recordID) == ["p1", "p2", "p2", "y", "p1"])
        #expect(changes[2].columns == ["fullName", "email"])
        #expect(changes.map(\.isLocal) == [true, true, true, false, true])
        #expect(changes[3].batch?.origin == stores[1].origin)
        #expect(try stores[0].reader.events(after: start + 2, limit: 2).events == Array(told[2...3]))
        #expect(try stores[0].reader.events(after: .max, limit: 2).events.isEmpty)
    }

    @Test("events of the tables of users say which user")
    func users() throws {
        let stores = [try TestStore(1), try TestStore(2)]
        try stores[0].sql("INSERT INTO users(id, username) VALUES ('u1', 'ana')")
        try stores[0].sql(
            """
            INSERT INTO user_sessions(id, userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
            VALUES ('s1', 'u1', 'ana', 'd', '1', '1', '2', 't')
            """
        )
        try stores[0].collect()
        try stores[0].sql("UPDATE user_sessions SET isActive = 0")
        try stores[0].collect()
        try stores[0].send(to: stores[1])
        try stores[0].sql("DELETE FROM user_sessions")
        try stores[0].send(to: stores[1])
        for store in stores {
            let changes = try store.reader.events(after: 0, limit: 100).events.compactMap(\.change)
            #expect(Set(changes.map(\.userID)) == ["u1"])
            #expect(changes.map(\.operation).suffix(2) == [.update, .delete])
        }
    }

    @Test("an event that is no change keeps all it says, between the changes")
    func named() throws {
        let store = try TestStore(1)
        let event = NamedEvent(
            type: "session_conflict",
            category: .user,
            recordID: "s2",
            timestamp: HybridTimestamp(milliseconds: 7),
            fields: [
                "userId": .text("u1"), "count": .number(-3), "isOld": .flag(true), "reason": .null,
                "by": .object(["deviceName": .text("Desk \"1\"\n")]),
                "with": .list([.object(["sessionId": .text("s1")]), .list([])]),
            ]
        )
        try self.insert(["p1"], into: store)
        let first = try store.collect().events
        let logged = try store.writer.recordEvent(event)
        try self.insert(["p2"], into: store)
        let last = try store.collect().events
        #expect(logged.position == first[0].position + 1)
        #expect(try store.reader.events(after: 0, limit: 10).events == first + [logged] + last)
        let executor = WritingExecutor(store.writer, retentionMilliseconds: 0)
        #expect(
            executor.perform(.recordEvent(event))
                == .eventRecorded(LoggedEvent(position: last[0].position + 1, content: .named(event)))
        )
    }

    @Test("a transaction that fails leaves no event and no gap")
    func rolledBack() throws {
        struct Failure: Error {}
        let store = try TestStore(1)
        let before = store.writer.lastEventPosition
        try self.insert(["p1"], into: store)
        #expect(throws: Failure.self) {
            try store.writer.transactions.write(.durable) { transaction -> Ending<Void> in
                var events = EventCollector(isLocal: true)
                let collector = store.writer.collecting.collector
                _ = try collector.collectAll(offset: 0, events: &events, in: transaction)
                let recorded = try store.writer.events.record(events, in: transaction)
                #expect(recorded.map(\.position) == [before + 1])
                throw Failure()
            }
        }
        #expect(try store.reader.events(after: 0, limit: 10).events.isEmpty)
        #expect(try store.collect().events.map(\.position) == [before + 1])
    }

    @Test("changes of the tables that nodes fill themselves are not written down")
    func agentTables() throws {
        let store = try TestStore(1)
        let values: [String: SQLiteValue] = ["node": .string("n1"), "certificate": .blob([4])]
        #expect(try store.writer.putAgentRow(table: "clinicsync_grant", values: values))
        try self.insert(["p1"], into: store)
        let events = try store.collect().events
        #expect(events.map { $0.position > 0 } == [false, true])
        #expect(try store.reader.events(after: 0, limit: 10).events == [events[1]])
    }

    @Test("rows of one transaction beyond the limit share an event that is written down as told")
    func shared() throws {
        let stores = [try TestStore(1), try TestStore(2)]
        let count = EventCollector.rowsMax + 40
        try self.insert((0..<count).map { "p\($0)" }, into: stores[0])
        let local = try stores[0].collect().events
        let remote = try stores[0].send(to: stores[1]).events
        for (store, events) in [(stores[0], local), (stores[1], remote)] {
            #expect(events.count == EventCollector.rowsMax + 1)
            #expect(events.last?.change?.rows == 40)
            #expect(events.last?.change?.recordID == nil)
            #expect(try store.reader.events(after: 0, limit: 1_000).events == events)
        }
    }

    @Test("only the newest are kept, and the oldest kept is known")
    func pruned() throws {
        let store = try TestStore(1, eventsKept: 10)
        let start = store.writer.lastEventPosition
        try self.insert((0..<25).map { "p\($0)" }, into: store)
        try store.collect()
        #expect(try store.reader.events(after: 0, limit: 100).events.count == 25)
        _ = try store.writer.maintain(retentionMilliseconds: 0)
        let page = try store.reader.events(after: 0, limit: 100)
        #expect(page.oldest == start + 16)
        #expect(page.newest == start + 25)
        #expect(page.events.map(\.position) == Array(start + 16...start + 25))
    }

    @Test("positions go on in a file opened again, and jump in a copy, which knows no events")
    func reopened() throws {
        let pc = try FilePlace()
        var newest: UInt64 = 0
        try pc.open { writer in
            #expect(writer.lastEventPosition > 1_700_000_000_000 << 10)
            try pc.insert("p1")
            newest = try #require(writer.collect(clockOffsetMilliseconds: 0).events.last?.position)
            #expect(newest == writer.lastEventPosition)
        }
        try pc.open { writer in
            #expect(writer.lastEventPosition == newest)
            try pc.insert("p2")
            #expect(try writer.collect(clockOffsetMilliseconds: 0).events.map(\.position) == [newest + 1])
        }
        let copy = try pc.copy()
        try copy.open { writer in
            #expect(writer.rebirth == .moved)
            #expect(writer.lastEventPosition > newest + 1)
            let reader = try ReplicaReader(beside: writer)
            defer { reader.close() }
            let page = try reader.events(after: newest, limit: 10)
            #expect(page.events.isEmpty)
            #expect(page.oldest == writer.lastEventPosition + 1)
            #expect(page.oldest > newest + 1)
        }
    }

    @Test("positions go on after the PC was started anew, and jump if it went down without closing the file")
    func powerCut() throws {
        let pc = try FilePlace()
        let boots = try ["one", "two", "three"].map { name in
            let url = pc.directory.url.appending(path: name)
            try Data(name.utf8).write(to: url)
            return url.path
        }
        var newest: UInt64 = 0
        try pc.open(bootIDPath: boots[0]) { writer in
            try pc.insert("p1")
            newest = try #require(writer.collect(clockOffsetMilliseconds: 0).events.last?.position)
        }
        var torn: [String: Data] = [:]
        try pc.open(bootIDPath: boots[1]) { writer in
            #expect(writer.lastEventPosition == newest)
            torn = try pc.snapshot()
        }
        try pc.restore(torn)
        try pc.open(bootIDPath: boots[1]) { #expect($0.lastEventPosition == newest) }
        try pc.restore(torn)
        try pc.open(bootIDPath: boots[2]) { writer in
            #expect(writer.rebirth == nil)
            #expect(writer.lastEventPosition > newest)
        }
    }

    @Test("an import in slices uses up one allowance of events of their own")
    func bulk() throws {
        let pc = try FilePlace()
        let count = 20_000
        try pc.open { writer in
            try Program.sqlite3(
                pc.file,
                """
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(count))
                INSERT INTO patients(id, fullName) SELECT 'p' || i, 'Name' || i FROM n;
                """
            )
            var events: [LoggedEvent] = []
            var outcome = try writer.collect(clockOffsetMilliseconds: 0)
            var slices = 1
            while outcome.hasMore {
                events += outcome.events
                outcome = try writer.collect(clockOffsetMilliseconds: 0)
                slices += 1
            }
            events += outcome.events
            #expect(slices > 2)
            #expect(events.compactMap(\.change).reduce(0) { $0 + $1.rows } == count)
            #expect(events.count <= EventCollector.rowsMax + slices)
        }
    }
}
