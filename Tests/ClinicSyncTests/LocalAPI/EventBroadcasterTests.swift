import ClinicSyncModel
import NIOCore
import Testing

@testable import ClinicSync

@Suite struct EventBroadcasterTests {
    private func make(
        lastPosition: UInt64 = 0,
        bufferMax: Int = 1_024,
        pageMax: Int = 500,
        keptMax: Int = 10_000
    ) -> LoggedBroadcaster {
        LoggedBroadcaster(lastPosition: lastPosition, bufferMax: bufferMax, pageMax: pageMax, keptMax: keptMax)
    }

    private func change(
        _ table: String,
        _ operation: RowOperation = .insert,
        record: String = "r",
        category: EventCategory = .patient,
        columns: [String] = [],
        user: String? = nil
    ) -> ChangeEvent {
        ChangeEvent(
            category: category,
            table: table,
            operation: operation,
            recordID: .string(record),
            columns: columns,
            rows: 1,
            timestamp: HybridTimestamp(milliseconds: 5),
            isLocal: true,
            batch: BatchID(origin: Origin(node: NodeID(high: 0, low: 7)), sequence: 3),
            userID: user.map(SQLiteValue.string)
        )
    }

    /// All events, after the end of publishing.
    private func drain(_ subscription: EventSubscription, count: Int) async -> [NodeEvent] {
        var events = [NodeEvent]()
        var iterator = subscription.makeAsyncIterator()
        while events.count < count, let event = await iterator.next() { events.append(event) }
        return events
    }

    @Test("positions go on from the last one, without gaps", .timeLimit(.minutes(1)))
    func positions() async {
        let broadcaster = self.make(lastPosition: 40)
        let subscription = broadcaster.broadcaster.subscribe(EventFilter())
        broadcaster.publish([self.change("patients"), self.change("patients", .update)])
        broadcaster.publishSystem("peer_lost", details: ["name": "lab"])
        let events = await self.drain(subscription, count: 3)
        #expect(events.map(\.position) == [41, 42, 43])
        #expect(events.map(\.type) == ["patient_data_change_immediate", "patient_data_change_immediate", "peer_lost"])
        #expect(events[0].transaction == "\(NodeID(high: 0, low: 7)):3")
        #expect(broadcaster.broadcaster.lastPosition == 43)
    }

    @Test("a subscriber gets what it asked for and nothing else", .timeLimit(.minutes(1)))
    func filters() async {
        let broadcaster = self.make()
        let tables = broadcaster.broadcaster.subscribe(EventFilter(tables: ["patients"]))
        let categories = broadcaster.broadcaster.subscribe(EventFilter(categories: [.billing]))
        broadcaster.publish([self.change("payments", category: .billing), self.change("patients")])
        broadcaster.publishSystem("host_changed")
        broadcaster.publish([self.change("patients", .delete), self.change("payments", .delete, category: .billing)])
        #expect(await self.drain(tables, count: 2).map(\.position) == [2, 4])
        #expect(await self.drain(categories, count: 2).map(\.position) == [1, 5])
    }

    @Test("a burst is merged without losing a table or an operation", .timeLimit(.minutes(1)))
    func burst() async {
        let broadcaster = self.make(bufferMax: 100)
        let subscription = broadcaster.broadcaster.subscribe(EventFilter())
        let names = (0..<13).map { "table\($0)" }
        var published: [String: Int] = [:]
        for round in 0..<1_000 {
            let table = names[round % 13]
            let operation = RowOperation.allCases[round / 13 % 3]
            published[table + operation.rawValue, default: 0] += 1
            broadcaster.publish([self.change(table, operation, record: "\(round)", columns: ["c\(round % 2)"])])
        }
        broadcaster.publishSystem("end")
        var seen: [String: Int] = [:]
        var positions = [UInt64]()
        for await event in subscription {
            if event.type == "end" { break }
            positions.append(event.position)
            seen[(event.table ?? "") + (event.operation ?? ""), default: 0] += event.rows ?? 1
            if (event.rows ?? 1) > 1 { #expect(event.recordId == nil) }
        }
        #expect(seen == published)
        #expect(positions.count <= 100)
        #expect(positions == positions.sorted())
        #expect(positions.last == 1_000)
    }

    @Test("a subscriber that comes back resumes after its position", .timeLimit(.minutes(1)))
    func resume() async {
        let broadcaster = self.make()
        broadcaster.publish((0..<5_000).map { self.change("patients", record: "\($0)") })
        let subscription = broadcaster.broadcaster.subscribe(EventFilter(since: 1_000))
        broadcaster.publish([self.change("users")])
        let events = await self.drain(subscription, count: 4_001)
        #expect(events.map(\.position) == Array(1_001...5_001))
        #expect(events.first?.recordId == "1000")
    }

    @Test(
        "a position that is too old, or from another life, is answered with resync_required",
        .timeLimit(.minutes(1)),
        arguments: [0, 89, 101] as [UInt64]
    )
    func resync(since: UInt64) async {
        let broadcaster = self.make(keptMax: 10)
        broadcaster.publish((0..<100).map { self.change("patients", record: "\($0)") })
        let subscription = broadcaster.broadcaster.subscribe(EventFilter(categories: [.patient], since: since))
        let events = await self.drain(subscription, count: 11)
        #expect(events.first?.type == "resync_required")
        #expect(events.dropFirst().map(\.position) == Array(91...100))
    }

    @Test("a subscriber that comes back while events come gets each once, page by page", .timeLimit(.minutes(1)))
    func pages() async {
        let broadcaster = self.make(bufferMax: 50, pageMax: 7)
        broadcaster.publish((0..<100).map { self.change("patients", record: "\($0)") })
        let subscription = broadcaster.broadcaster.subscribe(EventFilter(since: 10))
        var iterator = subscription.makeAsyncIterator()
        var positions = [UInt64]()
        while positions.count < 490, let event = await iterator.next() {
            positions.append(event.position)
            // More events come during the read than the buffer holds; the log has them.
            if positions.count <= 80 { broadcaster.publish((0..<5).map { self.change("users", record: "\($0)") }) }
        }
        #expect(positions == Array(11...500))
        #expect(broadcaster.log.reads >= 50)
    }

    @Test("what is pruned between two pages is said to be missed", .timeLimit(.minutes(1)))
    func prunedMeanwhile() async {
        let broadcaster = self.make(pageMax: 4, keptMax: 20)
        broadcaster.publish((0..<20).map { self.change("patients", record: "\($0)") })
        let subscription = broadcaster.broadcaster.subscribe(EventFilter(since: 2))
        var iterator = subscription.makeAsyncIterator()
        for position in 3...6 { #expect(await iterator.next()?.position == UInt64(position)) }
        broadcaster.publish((0..<10).map { self.change("patients", record: "\($0)") })
        let rest = await self.drain(subscription, count: 21)
        #expect(rest.first?.type == "resync_required")
        #expect(rest.first?.position == 10)
        #expect(rest.dropFirst().map(\.position) == Array(11...30))
    }

    @Test("events that are no changes are never merged, however many wait", .timeLimit(.minutes(1)))
    func namedBurst() async {
        let broadcaster = self.make(bufferMax: 10, pageMax: 16)
        let subscription = broadcaster.broadcaster.subscribe(EventFilter(categories: [.user]))
        for round in 0..<100 {
            broadcaster.publish(named: [.sessionEnded("s\(round)", user: "u")])
            broadcaster.publish([self.change("patients")])
        }
        let sessions = await self.drain(subscription, count: 100).map(\.recordId)
        #expect(sessions == (0..<100).map { "s\($0)" })
    }

    @Test("whoever resumes after any event of a merged burst misses nothing")
    func mergedPositions() {
        var buffer = EventBuffer(limit: 8)
        // The positions that each table's event stands for.
        var positions: [String: [UInt64]] = [:]
        for position in 1...100 as ClosedRange<UInt64> {
            let table = "t\(position % 5 == 0 ? position / 40 + 10 : position % 3)"
            positions[table, default: []].append(position)
            let isKept = buffer.append(NodeEvent(self.change(table), position: position))
            #expect(isKept)
        }
        var waiting: [UInt64: Int] = [:]
        for position in positions.values.joined() { waiting[position] = 1 }
        let events = buffer.take(100)
        for event in events {
            guard let table = event.table else { continue }
            let count = event.rows ?? 1
            let told = positions[table]?.prefix(count) ?? []
            positions[table]?.removeFirst(told.count)
            for position in told { waiting[position] = nil }
            // No pending event has a position at or before the position to resume after.
            #expect(waiting.keys.allSatisfy { $0 > event.position })
        }
        #expect(waiting.isEmpty)
        #expect(events.map(\.position) == events.map(\.position).sorted())
        #expect(events.last?.position == 100)
    }

    @Test("a user's events are those about the user, and what may be about anyone", .timeLimit(.minutes(1)))
    func users() async {
        let broadcaster = self.make()
        let subscription = broadcaster.broadcaster.subscribe(EventFilter(users: ["u1"]))
        var bulk = self.change("user_sessions", category: .user)
        bulk.recordID = nil
        bulk.rows = 900
        broadcaster.publish([
            self.change("users", record: "u1", category: .user, user: "u1"),
            self.change("users", record: "u2", category: .user, user: "u2"),
            self.change("patients"),
            bulk,
        ])
        broadcaster.publish(named: [.sessionEnded("s1", user: "u2"), .sessionEnded("s2", user: "u1")])
        #expect(await self.drain(subscription, count: 3).map(\.position) == [1, 4, 6])
    }

    @Test("another filter takes the place of the first, and may begin in the past", .timeLimit(.minutes(1)))
    func replaced() async {
        let broadcaster = self.make()
        let subscription = broadcaster.broadcaster.subscribe(nil)
        broadcaster.publish([self.change("patients"), self.change("payments", category: .billing)])
        let first = subscription.replace(with: EventFilter(categories: [.patient], since: 0))
        #expect(first.position == 0)
        #expect(await subscription.nextBatch(9)?.events.map(\.position) == [1])
        broadcaster.publish([self.change("patients")])
        let second = subscription.replace(with: EventFilter(categories: [.billing]))
        #expect(second.position == 3)
        #expect(second.generation > first.generation)
        broadcaster.publish([self.change("patients"), self.change("payments", category: .billing)])
        let batch = await subscription.nextBatch(9)
        #expect(batch?.events.map(\.position) == [5])
        #expect(batch?.generation == second.generation)
    }

    @Test("without a log to read, a subscriber that comes back is told so", .timeLimit(.minutes(1)))
    func unreadable() async {
        struct Unreadable: Error {}
        let broadcaster = EventBroadcaster { 0 }
        broadcaster.attach(lastPosition: 50) { _, _ in throw Unreadable() }
        let subscription = broadcaster.subscribe(EventFilter(since: 40))
        broadcaster.publishSystem("host_changed")
        #expect(await self.drain(subscription, count: 2).map(\.type) == ["resync_required", "host_changed"])
    }

    @Test("cancelling, finishing and letting go end a subscription", .timeLimit(.minutes(1)))
    func endings() async {
        let broadcaster = self.make()
        let cancelled = broadcaster.broadcaster.subscribe(EventFilter())
        cancelled.cancel()
        #expect(await self.drain(cancelled, count: 1).isEmpty)
        let reading = broadcaster.broadcaster.subscribe(EventFilter())
        let task = Task { await self.drain(reading, count: 1) }
        task.cancel()
        #expect(await task.value.isEmpty)
        let finished = broadcaster.broadcaster.subscribe(EventFilter())
        broadcaster.broadcaster.finish()
        #expect(await self.drain(finished, count: 1).isEmpty)
        #expect(await self.drain(broadcaster.broadcaster.subscribe(EventFilter()), count: 1).isEmpty)
    }

    @Test("the JSON is that of the contract")
    func json() throws {
        let event = NodeEvent(
            self.change("payments", category: .billing, columns: ["amountPaid"]),
            position: 9
        )
        let id = NodeID(high: 0, low: 7).description
        #expect(
            String(decoding: try APICoding.encode(event), as: UTF8.self)
                == #"{"category":"billing","columns":["amountPaid"],"operation":"insert","origin":"\#(id)","#
                + #""position":9,"recordId":"r","source":"local","table":"payments","#
                + #""timestamp":"1970-01-01T00:00:00.005Z","transaction":"\#(id):3","type":"billing_change_immediate"}"#
        )
        #expect(try APICoding.decode(NodeEvent.self, from: try APICoding.encode(event)) == event)
    }

    @Test("an event is encoded once for all subscribers, another event of its position for itself")
    func encodings() throws {
        let encodings = EventEncodings()
        func place(_ event: NodeEvent) throws -> UnsafeRawPointer? {
            try encodings.json(of: event).withUnsafeReadableBytes { $0.baseAddress }
        }
        let event = NodeEvent(self.change("payments"), position: 9)
        var other = event
        other.rows = 2
        let first = try place(event)
        #expect(try place(event) == first)
        #expect(try place(other) != first)
        #expect(try encodings.json(of: other) == ByteBuffer(bytes: try APICoding.encode(other)))
        // The oldest is forgotten.
        for position in 10..<10 + UInt64(EventEncodings.max) {
            let later = NodeEvent(self.change("payments"), position: position)
            #expect(try encodings.json(of: later) == ByteBuffer(bytes: try APICoding.encode(later)))
        }
        #expect(try encodings.json(of: event) == ByteBuffer(bytes: try APICoding.encode(event)))
    }

    @Test(
        "times are ISO 8601 with milliseconds, on leap days and before 1970 too",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (1_795_255_200_123, "2026-11-21T10:00:00.123Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        ] as [(Int64, String)]
    )
    func times(milliseconds: Int64, text: String) {
        #expect(UTCTimestamp(milliseconds: milliseconds).description == text)
        #expect(UTCTimestamp(text)?.milliseconds == milliseconds)
    }
}
