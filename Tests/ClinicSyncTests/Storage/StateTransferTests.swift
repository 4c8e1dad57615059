import ClinicSyncCore
import ClinicSyncModel
import Testing

@testable import ClinicSyncStorage

/// Gives a store the state of another one, answer by answer.
struct StateFerry {
    /// The node that takes the state.
    let receiver: TestStore
    private var requests: UInt64 = 0

    init(to receiver: TestStore) { self.receiver = receiver }

    /// Asks `sender` for the next pages, and stores them.
    ///
    /// - Returns: Whether the state is complete.
    mutating func step(from sender: TestStore) throws -> Bool {
        let staged = try self.receiver.writer.state().staged
        let answer = try self.answer(of: sender, behind: staged)
        _ = try self.receiver.writer.transfers.stage(answer, behind: staged?.cursor)
        return answer.end != nil
    }

    /// The next pages of `sender` behind what the receiver has stored, or will have stored.
    mutating func answer(of sender: TestStore, behind staged: StagedState?) throws -> StateAnswer {
        self.requests += 1
        let request = StateRequest(
            id: self.requests,
            vector: staged?.vector ?? VersionVector(),
            after: staged?.cursor,
            creditBytes: .max
        )
        return try sender.reader.statePages(request)
    }

    /// Stores the whole state of `sender`; `between` is called after each answer but the last.
    mutating func carry(from sender: TestStore, between: (Int) throws -> Void = { _ in }) throws {
        var count = 0
        while try !self.step(from: sender) {
            count += 1
            try between(count)
        }
    }

    /// Gives the receiver the batches of `sender` beyond the stored state.
    func sendTail(from sender: TestStore) throws {
        let staged = try #require(try self.receiver.writer.state().staged)
        let position = try #require(try sender.reader.locate(staged.vector))
        let chunks = try sender.reader.readLog(after: position, maxBytes: .max).chunks.map(\.chunk)
            .filter { staged.vector[$0.batch.origin] < $0.batch.sequence && $0.batch.origin != self.receiver.origin }
        _ = try self.receiver.writer.store(chunks, clockOffsetMilliseconds: 0)
    }

    /// Merges and shows the stored state; `nil` when it waits for batches.
    func install(isForced: Bool = false) throws -> UInt64? {
        try self.receiver.writer.transfers.install(isForced: isForced, clockOffsetMilliseconds: 0)?.rows
    }
}

@Suite("A state in place of history")
struct StateTransferTests {
    /// Sizes with which a clinic of some rows has many pages and answers.
    static var limits: StoreLimits {
        var limits = StoreLimits()
        limits.pageBytes = 600
        limits.stateAnswerBytes = 1_000
        limits.largeStateRowsMin = 0
        return limits
    }

    private static func store(_ number: UInt64) throws -> TestStore { try TestStore(number, limits: self.limits) }

    /// A store with 40 patients, bills, a counted service, a deleted patient and an entry in the journal, and its peer.
    private func clinic(of other: TestStore? = nil) throws -> (a: TestStore, b: TestStore) {
        let (a, b) = (try Self.store(1), try other ?? Self.store(2))
        for number in 10..<50 {
            try a.sql("INSERT INTO patients(id, fullName) VALUES('p\(number)', 'Ana \(number)')")
        }
        try converge([a, b])
        try a.sql("UPDATE clinic_services SET selectionCount = selectionCount + 3 WHERE id = 'service-urinalysis'")
        try b.sql("UPDATE clinic_services SET selectionCount = selectionCount + 4 WHERE id = 'service-urinalysis'")
        try a.sql("UPDATE patients SET fullName = 'One' WHERE id = 'p11'")
        b.now += 10
        try b.sql("UPDATE patients SET fullName = 'Two' WHERE id = 'p11'")
        try b.sql("DELETE FROM patients WHERE id = 'p12'")
        // Two bills with one number, made on two PCs.
        try a.sql(
            """
            INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
            VALUES('x', 'p10', 'INV-1', '2026-11-27', 10, 'open')
            """
        )
        try b.sql(
            """
            INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
            VALUES('y', 'p13', 'INV-1', '2026-11-27', 20, 'open')
            """
        )
        try converge([a, b])
        return (a, b)
    }

    /// Has `store` remove its whole log.
    private func prune(_ store: TestStore) throws {
        store.now += 1_000
        let (pruner, all) = (LogPruner(origins: store.writer.rows.origins, clock: store.writer.clock), try store.vector)
        var removed = 1
        while removed > 0 {
            removed = try store.writer.transactions.write { transaction in
                .relaxed(try pruner.prune(upTo: all, retentionMilliseconds: 500, in: transaction))
            }
        }
        #expect(try store.value(Int.self, "SELECT count(*) FROM clinicsync_log") == 0)
    }

    @Test("a new node gets everything as state, sees nothing of it before all is there, and goes on by the log")
    func newNode() throws {
        let (a, b) = try self.clinic()
        try self.prune(a)
        let c = try Self.store(3)
        #expect(try a.reader.locate(VersionVector()) == nil)
        let offer = try #require(try a.reader.stateOffer(inPlaceOfLogAfter: nil))
        #expect(offer.rows > 40 && offer.bytes > 0)
        var ferry = StateFerry(to: c)
        var answers = 0
        try ferry.carry(from: a) { count throws in
            answers = count
            #expect(try c.value(Int.self, "SELECT count(*) FROM patients") == 0)
            #expect(try c.vector == VersionVector())
        }
        #expect(answers > 3)
        #expect(try ferry.install() ?? 0 >= offer.rows)
        #expect(try c.vector == a.vector)
        #expect(try c.writer.state().staged == nil)
        try expectEqual([a, b, c])
        #expect(try c.reader.journal(openOnly: true) == a.reader.journal(openOnly: true))
        // History goes on, and a deleter's knowledge holds.
        try b.sql("UPDATE patients SET fullName = 'New' WHERE id = 'p20'")
        try b.sql("DELETE FROM patients WHERE id = 'p21'")
        try b.sql("UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = 'service-urinalysis'")
        try b.send(to: a)
        try b.send(to: c)
        try c.sql("UPDATE patients SET fullName = 'Own' WHERE id = 'p22'")
        try converge([a, c])
        try c.send(to: b)
        try expectEqual([a, b, c])
        #expect(try c.reader.summary().openConflicts == a.reader.summary().openConflicts)
    }

    @Test("rows that one statement reads have the states that are known of them, whatever lies between and beside them")
    func scanned() throws {
        let (a, _) = try self.clinic()
        // Neither is what was hashed with its version.
        try a.sql(
            """
            UPDATE clinicsync_guard SET applying = 1; UPDATE patients SET fullName = 'Past' WHERE id = 'p14';
            DELETE FROM patients WHERE id = 'p15'; UPDATE clinicsync_guard SET applying = 0
            """
        )
        let plan = try #require(a.writer.plans["patients"])
        func states(_ payloads: [[UInt8]]) throws -> [RowState] {
            try payloads.filter { !$0.isEmpty }.flatMap { payload in
                try payload.withUnsafeBytes { bytes in
                    var reader = try RowStateReader(bytes, plan: plan)
                    var states: [RowState] = []
                    while let state = try reader.next() { states.append(state) }
                    return states
                }
            }
        }
        var pages: [StatePage] = []
        var answer = StateAnswer(pages: [])
        while answer.end == nil {
            let vector = pages.first?.vector ?? VersionVector()
            let request = StateRequest(id: 1, vector: vector, after: pages.last?.cursor, creditBytes: .max)
            answer = try a.reader.statePages(request)
            pages += answer.pages
        }
        let sent = try states(pages.filter { $0.table == "patients" }.map(\.payload))
        #expect(sent.map(\.key) == (10..<50).map { .string("p\($0)") })
        let known = try a.reader.rowStates(round: 1, table: "patients", keys: sent.map(\.key)).map(\.payload)
        #expect(try sent == states(known))
        let slot = try #require(plan.slot(of: "fullName"))
        #expect(sent[0].registers[slot] != nil && sent[4].registers[slot] == nil && sent[5].registers[slot] == nil)
    }

    @Test("rows that change behind, at and before the place of the transfer are equal in the end", arguments: 0..<4)
    func changesMeanwhile(seed: Int) throws {
        let (a, b) = try self.clinic()
        let c = try Self.store(3)
        var ferry = StateFerry(to: c)
        try ferry.carry(from: a) { count in
            let (first, second) = (10 + (count * 7 + seed) % 40, 10 + (count * 11 + seed * 3) % 40)
            switch (count + seed) % 6 {
            case 0: try a.sql("UPDATE patients SET fullName = 'Changed \(count)' WHERE id = 'p\(first)'")
            case 1: try b.sql("DELETE FROM patients WHERE id = 'p\(second)'")
            case 2: try a.sql("INSERT OR REPLACE INTO patients(id, fullName) VALUES('p\(second)', 'Back')")
            case 3:
                let service = "WHERE id = 'service-urinalysis'"
                try a.sql("UPDATE clinic_services SET selectionCount = selectionCount + 1 \(service)")
                try b.sql("UPDATE clinic_services SET selectionCount = selectionCount + 2 \(service)")
            case 4:
                try a.sql("UPDATE patients SET address = 'A \(count)' WHERE id = 'p\(first)'")
                b.now += 5
                try b.sql("UPDATE patients SET address = 'B \(count)' WHERE id = 'p\(first)'")
            default: try b.sql("UPDATE patient_bills SET invoiceNumber = 'INV-\(count % 3)x' WHERE id = 'y'")
            }
            try converge([a, b])
        }
        // The pages have parts of batches that are not here.
        #expect(try ferry.install() == nil)
        #expect(try c.value(Int.self, "SELECT count(*) FROM patients") == 0)
        try ferry.sendTail(from: a)
        #expect(try ferry.install() != nil)
        #expect(try c.vector == a.vector)
        try expectEqual([a, b, c])
        // An entry may be there that the others do not have, never one too few.
        let theirs = Set(try a.reader.journal(openOnly: true).map(\.id))
        #expect(theirs.isSubset(of: Set(try c.reader.journal(openOnly: true).map(\.id))))
    }

    @Test("a node behind the floor comes back: its changes stay, what was deleted stays so, conflicts are kept")
    func comesBack() throws {
        let (a, b) = try self.clinic()
        let c = try Self.store(3)
        try converge([a, b, c])
        // C is away, and works.
        try c.sql("UPDATE patients SET fullName = 'Away' WHERE id = 'p30'")
        try c.sql("UPDATE patients SET address = 'Edited' WHERE id = 'p31'")
        try c.sql("INSERT INTO patients(id, fullName) VALUES('q1', 'Only here')")
        try c.sql("UPDATE clinic_services SET selectionCount = selectionCount + 9 WHERE id = 'service-urinalysis'")
        try c.collect()
        a.now += 5_000
        try a.sql("UPDATE patients SET fullName = 'Meanwhile' WHERE id = 'p30'")
        try a.sql("DELETE FROM patients WHERE id = 'p32'")
        try a.sql("DELETE FROM patients WHERE id = 'p31'")
        try converge([a, b])
        try self.prune(a)
        #expect(try a.reader.locate(try c.vector) == nil)
        var ferry = StateFerry(to: c)
        var hasWritten = false
        try ferry.carry(from: a) { _ in
            guard !hasWritten else { return }
            hasWritten = true
            try c.sql("INSERT INTO patients(id, fullName) VALUES('q2', 'During the transfer')")
        }
        #expect(hasWritten)
        #expect(try ferry.install() != nil)
        #expect(try c.value(String.self, "SELECT fullName FROM patients WHERE id = 'p30'") == "Meanwhile")
        #expect(try c.value(Int.self, "SELECT count(*) FROM patients WHERE id = 'p32'") == 0)
        #expect(try c.value(Int.self, "SELECT count(*) FROM patients WHERE id IN ('q1', 'q2')") == 2)
        try c.send(to: a)
        try c.send(to: b)
        try expectEqual([a, b, c])
        #expect(
            try a.value(
                Int.self,
                "SELECT selectionCount FROM clinic_services WHERE id = 'service-urinalysis'"
            ) == 16
        )
        let lost = "SELECT count(*) FROM clinicsync_conflict WHERE kind = 'value' AND recordId = 'p30'"
        for store in [a, b, c] { #expect(try store.value(Int.self, lost) == 1) }
        // An edit that the deleter had not seen keeps the row.
        #expect(try b.value(Int.self, "SELECT count(*) FROM patients WHERE id = 'p31'") == 1)
    }

    @Test("a value of the state that loses to an own one, which the sender did not know, is in the journal")
    func losesToOwn() throws {
        let (a, b) = try self.clinic()
        let c = try Self.store(3)
        try converge([a, b, c])
        try a.sql("UPDATE patients SET fullName = 'Meanwhile' WHERE id = 'p30'")
        try converge([a, b])
        c.now += 10_000
        try c.sql("UPDATE patients SET fullName = 'Away' WHERE id = 'p30'")
        try c.collect()
        try self.prune(a)
        // C was alone so long that it has pruned its own log: the others get its state, too.
        try self.prune(c)
        var ferry = StateFerry(to: c)
        try ferry.carry(from: a)
        #expect(try ferry.install() != nil)
        let lost = "SELECT count(*) FROM clinicsync_conflict WHERE recordId = 'p30' AND value = 'Meanwhile'"
        #expect(try c.value(Int.self, lost) == 1)
        for receiver in [a, b] {
            var back = StateFerry(to: receiver)
            try back.carry(from: c)
            #expect(try back.install() != nil)
        }
        for store in [a, b, c] {
            #expect(try store.value(String.self, "SELECT fullName FROM patients WHERE id = 'p30'") == "Away")
            #expect(try store.value(Int.self, lost) == 1)
        }
        try expectEqual([a, b, c])
    }

    @Test("a transfer goes on after a restart, and from another node that has what it began with")
    func resumed() throws {
        let (a, b) = try self.clinic()
        var c = try Self.store(3)
        var ferry = StateFerry(to: c)
        for _ in 0..<4 { #expect(try !ferry.step(from: a)) }
        let staged = try #require(try c.writer.state().staged)
        c = try TestStore(reopening: c, schema: c.schema)
        #expect(try c.writer.state().staged == staged)
        ferry = StateFerry(to: c)
        try ferry.carry(from: b) { _ throws in #expect(try c.writer.state().staged?.vector == staged.vector) }
        #expect(try ferry.install() != nil)
        try expectEqual([a, b, c])
    }

    @Test("a sender that lacks what the transfer began with begins it again")
    func beginsAgain() throws {
        let (a, b) = try self.clinic()
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p50', 'Only on A')")
        try a.collect()
        let c = try Self.store(3)
        var ferry = StateFerry(to: c)
        for _ in 0..<4 { #expect(try !ferry.step(from: a)) }
        #expect(try !ferry.step(from: b))
        #expect(try c.writer.state().staged?.vector == b.vector)
        try ferry.carry(from: b)
        #expect(try ferry.install() != nil)
        try expectEqual([b, c])
        try a.send(to: c)
        try a.send(to: b)
        try expectEqual([a, b, c])
    }

    @Test("two peers that were asked for the same place, one after the other, may both give what they were asked for")
    func overlapping() throws {
        var limits = Self.limits
        (limits.pageBytes, limits.stateAnswerBytes) = (900, 2_500)
        let (a, b) = try self.clinic(of: TestStore(2, limits: limits))
        let c = try Self.store(3)
        var ferry = StateFerry(to: c)
        while try c.writer.state().staged?.cursor.table != "patients" { #expect(try !ferry.step(from: a)) }
        let staged = try #require(try c.writer.state().staged)
        // The link to A ends while the store works on A's answer, so B is asked for what follows the stored pages, too.
        let first = try ferry.answer(of: a, behind: staged)
        let later = try #require(try c.writer.transfers.stage(first, behind: staged.cursor))
        #expect(later.cursor.isBehind(staged.cursor))
        #expect(try c.writer.transfers.stage(first, behind: staged.cursor) == later)
        var second = try ferry.answer(of: b, behind: staged)
        let forgotten = VersionVector([.init(origin: Origin(node: TestStore.node(9)), sequence: 1)])
        second.pages[0].forgotten = forgotten
        #expect(!second.pages[0].cursor.isBehind(later.cursor))
        let last = try #require(second.pages.last?.cursor)
        // One of B's pages begins before the end of A's, and ends behind it.
        #expect(last.isBehind(later.cursor) && !second.pages.contains { $0.cursor == later.cursor })
        let both = try #require(try c.writer.transfers.stage(second, behind: staged.cursor))
        #expect(both.cursor == last && both.forgotten.covers(forgotten))
        try ferry.carry(from: b)
        #expect(try ferry.install() != nil)
        try expectEqual([a, b, c])
    }

    @Test("an answer behind a gap is left out, and so is the end: the rows of the gap would count as deleted")
    func gap() throws {
        let (a, b) = try self.clinic()
        let c = try Self.store(3)
        var ferry = StateFerry(to: c)
        for _ in 0..<3 { #expect(try !ferry.step(from: a)) }
        let staged = try #require(try c.writer.state().staged)
        // The store fails to take one answer, and gets the next one, which was on its way already.
        var reached = staged
        for page in try ferry.answer(of: a, behind: staged).pages { reached.append(page) }
        let next = try ferry.answer(of: a, behind: reached)
        #expect(!next.pages.isEmpty)
        #expect(try c.writer.transfers.stage(next, behind: reached.cursor) == staged)
        let end = StateEnd(id: 9, vector: staged.vector, through: staged.vector)
        #expect(try c.writer.transfers.stage(StateAnswer(pages: [], end: end), behind: reached.cursor) == staged)
        try ferry.carry(from: a)
        #expect(try ferry.install() != nil)
        try expectEqual([a, b, c])
    }

    @Test("a page that is not what it says is refused, and nothing of its answer is kept")
    func refused() throws {
        let (a, _) = try self.clinic()
        let c = try Self.store(3)
        var ferry = StateFerry(to: c)
        #expect(try !ferry.step(from: a))
        let staged = try #require(try c.writer.state().staged)
        let request = StateRequest(id: 9, vector: staged.vector, after: staged.cursor, creditBytes: .max)
        let page = try #require(try a.reader.statePages(request).pages.first)
        func expectRefused(_ change: (inout StatePage) -> Void) throws {
            var page = page
            change(&page)
            let answer = StateAnswer(pages: [page])
            #expect(throws: MalformedChunk.self) { try c.writer.transfers.stage(answer, behind: staged.cursor) }
            #expect(try c.writer.state().staged == staged)
        }
        try expectRefused { $0.payload[$0.payload.count - 1] ^= 1 }
        try expectRefused {
            $0.payload.removeLast()
            $0.checksum = BatchChunk.checksum(of: $0.payload)
        }
        try expectRefused { $0.through = .string("!") }
        try expectRefused {
            $0.table = ""
            $0.payload = AuthorCoding.encode([])
            $0.checksum = BatchChunk.checksum(of: $0.payload)
        }
        // Numbers that a sender makes up leave room for the author's own.
        let author = AuthorState(origin: a.origin, sequence: 1 << 40, timestamp: .genesis, seen: VersionVector())
        try expectRefused {
            $0.table = ""
            $0.through = nil
            $0.vector = VersionVector([.init(origin: a.origin, sequence: author.sequence)])
            $0.payload = AuthorCoding.encode([author])
            $0.checksum = BatchChunk.checksum(of: $0.payload)
        }
        // What was on its way from another peer is left out.
        var late = page
        late.vector = VersionVector([.init(origin: a.origin, sequence: 1)])
        #expect(try c.writer.transfers.stage(StateAnswer(pages: [late]), behind: staged.cursor) == staged)
        // A peer may not give rows before the place behind which it was asked.
        var old = page
        old.through = nil
        let place = StateCursor(table: page.table, key: .string("~"))
        #expect(throws: MalformedChunk.self) { try c.writer.transfers.stage(StateAnswer(pages: [old]), behind: place) }
        try ferry.carry(from: a)
        #expect(try ferry.install() != nil)
    }

    @Test("a state with numbers of this node that it does not know begins a new incarnation")
    func forked() throws {
        let (a, b) = try self.clinic()
        let c = try Self.store(3)
        try c.sql("INSERT INTO patients(id, fullName) VALUES('q1', 'First life')")
        try converge([a, b, c])
        // The file of C is lost; the new one has the same identity.
        let again = try Self.store(3)
        var ferry = StateFerry(to: again)
        #expect(throws: ForkedBatch.self) { try ferry.carry(from: a) }
        let renounced = "SELECT count(*) FROM clinicsync_setting WHERE name = 'renounced'"
        #expect(try again.value(Int.self, renounced) == 1)
    }

    @Test("the log stays for a peer that takes the state, until the peer has what it began with or a day passes")
    func pinned() throws {
        let (a, _) = try self.clinic()
        let began = try a.vector
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p50', 'Later')")
        try a.collect()
        func logged() throws -> Int? { try a.value(Int.self, "SELECT count(*) FROM clinicsync_log") }
        func upkeep(linked: [NodeID] = []) throws {
            a.now += 1_000
            let other = MemberProgress(node: TestStore.node(9), vector: try a.vector, seenMilliseconds: a.now)
            try a.writer.recordAcknowledged([other])
            let presence = MemberPresence(isHost: true, linked: linked, clinicMilliseconds: a.now)
            while try a.writer.maintain(retentionMilliseconds: 500, presence: presence).pruned > 0 {}
        }
        let peer = TestStore.node(3)
        try a.writer.transfers.pin(peer, began)
        try upkeep()
        #expect(try logged() == 1)
        #expect(try a.reader.locate(began) != nil)
        try a.writer.recordAcknowledged([MemberProgress(node: peer, vector: began, seenMilliseconds: a.now)])
        try upkeep(linked: [peer])
        #expect(try logged() == 1, "what the connected member lacks stays")
        try a.writer.recordAcknowledged([MemberProgress(node: peer, vector: try a.vector, seenMilliseconds: a.now)])
        try upkeep(linked: [peer])
        #expect(try logged() == 0)
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p51', 'Later still')")
        try a.collect()
        try a.writer.transfers.pin(TestStore.node(4), began)
        a.now += StatePins.lifeMilliseconds
        try a.writer.recordAcknowledged([MemberProgress(node: peer, vector: try a.vector, seenMilliseconds: a.now)])
        try upkeep()
        #expect(try logged() == 0)
    }

    @Test("a stored part without progress for a day is forgotten")
    func expired() throws {
        let (a, _) = try self.clinic()
        let c = try Self.store(3)
        var ferry = StateFerry(to: c)
        for _ in 0..<3 { #expect(try !ferry.step(from: a)) }
        c.now += StateStage.lifeMilliseconds - 1
        _ = try c.writer.maintain(retentionMilliseconds: 1_000)
        #expect(try c.writer.state().staged != nil)
        c.now += 2
        _ = try c.writer.maintain(retentionMilliseconds: 1_000)
        #expect(try c.writer.state().staged == nil)
        #expect(try c.value(Int.self, "SELECT count(*) FROM clinicsync_stage") == 0)
    }

    @Test("a stored part is of no use any more when the log has brought what it began with")
    func overtaken() throws {
        let (a, _) = try self.clinic()
        let c = try Self.store(3)
        var ferry = StateFerry(to: c)
        for _ in 0..<3 { #expect(try !ferry.step(from: a)) }
        let staged = try #require(try c.writer.state().staged)
        _ = try c.writer.maintain(retentionMilliseconds: 1_000)
        #expect(try c.writer.state().staged == staged)
        try a.send(to: c)
        _ = try c.writer.maintain(retentionMilliseconds: 1_000)
        #expect(try c.writer.state().staged == nil)
        // A peer's next answer says nothing without the beginning.
        let request = StateRequest(id: 9, vector: staged.vector, after: staged.cursor, creditBytes: 0)
        let answer = try a.reader.statePages(request)
        #expect(answer.pages.count == 1)
        #expect(try c.writer.transfers.stage(answer, behind: staged.cursor) == nil)
        try expectEqual([a, c])
    }

    @Test("authors come as they were written, and other bytes are refused")
    func authors() throws {
        let (first, second) = (Origin(node: TestStore.node(1)), Origin(node: TestStore.node(2), incarnation: 7))
        let authors = [
            AuthorState(
                origin: first,
                sequence: 5,
                timestamp: HybridTimestamp(milliseconds: 1_800_000_000_000),
                seen: VersionVector([.init(origin: first, sequence: 5), .init(origin: second, sequence: 2)])
            ),
            AuthorState(origin: second, sequence: 3, timestamp: .genesis, seen: VersionVector()),
        ]
        let bytes = AuthorCoding.encode(authors)
        #expect(try bytes.withUnsafeBytes { try AuthorCoding.decode($0) } == authors)
        for count in 0..<bytes.count {
            #expect(throws: MalformedRecord.self) {
                try bytes[..<count].withUnsafeBytes { try AuthorCoding.decode($0) }
            }
        }
        #expect(throws: MalformedRecord.self) {
            try AuthorCoding.encode([authors[0], authors[0]]).withUnsafeBytes { try AuthorCoding.decode($0) }
        }
        // Nobody has seen what does not exist.
        var claim = authors
        claim[0].seen = VersionVector([.init(origin: second, sequence: 1 << 40)])
        let decoded = try AuthorCoding.encode(claim).withUnsafeBytes { try AuthorCoding.decode($0) }
        #expect(decoded[0].seen == VersionVector([.init(origin: second, sequence: 3)]))
    }
}
