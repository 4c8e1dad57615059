import ClinicSyncCore
import ClinicSyncModel
import GRDB
import Testing

@testable import ClinicSyncStorage

@Suite("What every active member has")
struct HorizonTests {
    private static let day: Int64 = 86_400_000
    private static let retention: Int64 = 7 * day

    private let a: TestStore
    private let b: TestStore
    private let third = TestStore.node(3)
    /// What the third PC last signed of itself: that it ran on the first day.
    private var days: [NodeID: Int64] { [self.third: 1_800_000_000_000] }
    private var members: [NodeID] { [self.a.origin.node, self.b.origin.node, self.third] }

    /// Three PCs: `a` is host, `b` has everything, and the third has nothing yet.
    init() throws {
        self.a = try TestStore(1)
        self.b = try TestStore(2)
        try self.write("p1")
        try self.heard(self.b.origin.node, by: self.a, vector: self.a.vector)
        try self.heard(self.third, by: self.a, vector: VersionVector())
    }

    private func write(_ patient: String) throws {
        try self.a.sql("INSERT INTO patients(id, fullName) VALUES('\(patient)', 'Ana')")
        try self.a.send(to: self.b)
    }

    private func heard(_ node: NodeID, by host: TestStore, vector: VersionVector) throws {
        try host.writer.recordAcknowledged([
            MemberProgress(node: node, vector: vector, seenMilliseconds: host.now)
        ])
    }

    /// The host's upkeep; what it decides goes to the other store.
    @discardableResult
    private func keepHouse(
        _ host: TestStore,
        linked: [NodeID] = [],
        members: [NodeID]? = nil,
        retention: Int64 = Self.retention
    ) throws -> UpkeepOutcome {
        let presence = MemberPresence(
            isHost: true,
            members: members ?? self.members,
            days: self.days,
            linked: linked,
            clinicMilliseconds: host.now
        )
        let outcome = try host.writer.maintain(retentionMilliseconds: retention, presence: presence)
        let other = host === self.a ? self.b : self.a
        try host.send(to: other)
        try self.heard(other.origin.node, by: host, vector: other.vector)
        return outcome
    }

    private func pass(days: Int64) {
        for store in [self.a, self.b] { store.now += days * Self.day }
    }

    private func chunks(_ store: TestStore) throws -> Int {
        try store.value(Int.self, "SELECT count(*) FROM clinicsync_log") ?? 0
    }

    @Test("a dead member holds up the log for 30 days; then it lapses for all nodes, and all prune")
    func dead() throws {
        for days in [8, 21] as [Int64] {
            self.pass(days: days)
            let outcome = try self.keepHouse(self.a, linked: [self.b.origin.node])
            #expect(outcome.pruned == 0 && outcome.lapsed.isEmpty)
        }
        self.pass(days: 2)
        let decided = try self.keepHouse(self.a, linked: [self.b.origin.node])
        #expect(decided.hasDecided && decided.lapsed == [self.third])
        #expect(decided.pruned > 0)
        #expect(try self.a.reader.locate(VersionVector()) == nil)
        // A client prunes by what the host decided, though it never heard the third PC.
        let client = MemberPresence(
            isHost: false,
            members: self.members,
            days: self.days,
            clinicMilliseconds: self.b.now
        )
        let before = try self.chunks(self.b)
        let outcome = try self.b.writer.maintain(retentionMilliseconds: Self.retention, presence: client)
        #expect(outcome.lapsed == [self.third] && !outcome.hasDecided)
        #expect(outcome.pruned > 0)
        #expect(try self.chunks(self.b) == before - outcome.pruned)
        try expectEqual([self.a, self.b])
    }

    @Test(
        "a lapse that a program writes lowers no majority: only one that the member's own signed statement bears out counts"
    )
    func forgedLapse() throws {
        for node in self.members {
            try self.b.sql("INSERT INTO clinicsync_lapse (node) VALUES (?)", [node.description])
        }
        func lapsed(_ days: [NodeID: Int64]) throws -> [NodeID] {
            let presence = MemberPresence(
                isHost: false,
                members: self.members,
                days: days,
                clinicMilliseconds: self.b.now
            )
            return try self.b.writer.maintain(retentionMilliseconds: Self.retention, presence: presence).lapsed
        }
        self.pass(days: 31)
        // `b` never heard the third PC, as a client never hears another client.
        #expect(try lapsed([:]) == [])
        #expect(try lapsed([self.third: self.b.now - Self.day]) == [])
        #expect(try lapsed(self.days) == [self.third])
        try self.heard(self.third, by: self.b, vector: VersionVector())
        #expect(try lapsed(self.days) == [])
    }

    @Test("a member that lapsed is active again when it is connected and has everything, not before")
    func returns() throws {
        self.pass(days: 31)
        try self.keepHouse(self.a, linked: [self.b.origin.node])
        let everybody = [self.b.origin.node, self.third]
        try self.heard(self.third, by: self.a, vector: VersionVector([.init(origin: self.b.origin, sequence: 1)]))
        try self.keepHouse(self.a, linked: everybody)
        #expect(try self.a.value(Int.self, "SELECT count(*) FROM clinicsync_lapse") == 1)
        try self.heard(self.third, by: self.a, vector: self.a.vector)
        try self.keepHouse(self.a, linked: everybody)
        #expect(try self.b.value(Int.self, "SELECT count(*) FROM clinicsync_lapse") == 0)
        // From now on the log is kept for it again.
        try self.write("p2")
        let held = try self.a.vector[self.a.origin]
        self.pass(days: 8)
        try self.keepHouse(self.a, linked: [self.b.origin.node])
        let lacking = VersionVector([.init(origin: self.a.origin, sequence: held - 1)])
        #expect(try self.a.reader.locate(lacking) != nil)
        try expectEqual([self.a, self.b])
    }

    @Test("a new host that never heard a member goes on from what the last one found, and takes nothing back")
    func newHost() throws {
        try self.heard(self.third, by: self.a, vector: self.a.vector)
        self.pass(days: 8)
        try self.keepHouse(self.a, linked: [self.b.origin.node])
        let first = try #require(try self.horizon(self.b))
        #expect(first[self.a.origin] > 0)
        try self.write("p2")
        self.pass(days: 8)
        try self.heard(self.a.origin.node, by: self.b, vector: self.b.vector)
        try self.keepHouse(self.b, linked: [self.a.origin.node])
        #expect(try self.horizon(self.b) == first, "nobody knows that the third PC has more")
        #expect(try self.b.value(Int.self, "SELECT count(*) FROM clinicsync_lapse") == 0)
        try expectEqual([self.a, self.b])
    }

    @Test("rows of the horizon and of lapses that are about no member are removed; members that lapsed are listed")
    func strays() throws {
        let strangers = [TestStore.node(8).description, "x", ""]
        for name in strangers + [self.third.description] {
            try self.b.sql("INSERT INTO clinicsync_lapse (node, since) VALUES (?, 7)", [name])
        }
        try self.b.sql("INSERT INTO clinicsync_horizon (id) VALUES ('other')")
        try self.b.send(to: self.a)
        #expect(try self.a.reader.lapses() == [TestStore.node(8): 7, self.third: 7])
        #expect(try self.a.reader.summary().lapsed == [TestStore.node(8), self.third].sorted())
        // Without a list of members nobody can tell.
        try self.keepHouse(self.a, linked: [self.b.origin.node], members: [])
        #expect(try self.b.value(Int.self, "SELECT count(*) FROM clinicsync_lapse") == 4)
        try self.keepHouse(self.a, linked: [self.b.origin.node])
        #expect(try self.b.reader.lapses() == [self.third: 7])
        #expect(try self.b.value(Int.self, "SELECT count(*) FROM clinicsync_lapse") == 1)
        #expect(try self.b.value(Int.self, "SELECT count(*) FROM clinicsync_horizon WHERE id = 'other'") == 0)
        try expectEqual([self.a, self.b])
    }

    @Test("a settled entry of the journal goes on every node when it is old and all have it; an open one stays")
    func settledEntries() throws {
        let members = [self.a.origin.node, self.b.origin.node]
        for column in ["contactNumber", "address"] {
            try self.a.sql("UPDATE patients SET \(column) = 'of a' WHERE id = 'p1'")
            try self.b.sql("UPDATE patients SET \(column) = 'of b' WHERE id = 'p1'")
        }
        try self.a.collect()
        try self.b.collect()
        try self.b.send(to: self.a)
        try self.a.send(to: self.b)
        let settled = try #require(
            try self.b.value(String.self, "SELECT id FROM clinicsync_conflict WHERE columnName = 'contactNumber'")
        )
        #expect(try self.b.writer.resolveJournal(settled, keeping: .current) == .resolved(hasChanged: false))
        // What was decided about an entry that is gone.
        try self.b.sql("INSERT INTO clinicsync_resolution VALUES ('gone', 'current', \(self.b.now), 'x')")
        try self.b.send(to: self.a)
        func entries(_ store: TestStore) throws -> [Int?] {
            try ["conflict", "resolution"].map { try store.value(Int.self, "SELECT count(*) FROM clinicsync_\($0)") }
        }
        #expect(try entries(self.a) == [2, 2])
        try self.heard(self.b.origin.node, by: self.a, vector: self.b.vector)
        try self.keepHouse(self.a, linked: [self.b.origin.node], members: members)
        #expect(try entries(self.a) == [2, 2], "it is not old")
        for _ in 0..<2 {
            self.pass(days: 8)
            try self.keepHouse(self.a, linked: [self.b.origin.node], members: members)
        }
        #expect(try entries(self.a) == [1, 0])
        #expect(try entries(self.b) == [1, 0])
        #expect(try self.b.value(String.self, "SELECT columnName FROM clinicsync_conflict") == "address")
        try expectEqual([self.a, self.b])
    }

    private func horizon(_ store: TestStore) throws -> VersionVector? {
        try store.writer.read { rows, connection in
            let members = Members(origins: store.writer.rows.origins, clock: store.writer.clock)
            let horizon = Horizon(
                members: members,
                programRows: rows,
                clock: store.writer.clock,
                silenceMilliseconds: StoreLimits.standard.silenceMilliseconds
            )
            return try horizon.vector(on: connection)
        }
    }

    @Test("a node alone in its clinic prunes what is old; one that knows nothing of its clinic prunes nothing")
    func alone() throws {
        let lone = try TestStore(7)
        try lone.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try lone.collect()
        lone.now += 8 * Self.day
        for members in [[], [lone.origin.node]] as [[NodeID]] {
            let presence = MemberPresence(isHost: true, members: members, clinicMilliseconds: lone.now)
            let outcome = try lone.writer.maintain(retentionMilliseconds: Self.retention, presence: presence)
            #expect(outcome.pruned == members.count)
        }
    }

    @Test("a horizon that a program writes loses nothing that a peer needs, and nothing younger than the retention")
    func forged() throws {
        let huge = VectorCoding.encode(VersionVector([.init(origin: self.a.origin, sequence: Bounds.sequenceMax)]))
        let hex = huge.hexadecimal
        for vector in ["x'\(hex)'", "x'ff'", "'text'", "NULL", "7"] {
            try self.b.sql("INSERT OR REPLACE INTO clinicsync_horizon (id, vector) VALUES ('clinic', \(vector))")
            let client = MemberPresence(isHost: false, clinicMilliseconds: self.b.now)
            let outcome = try self.b.writer.maintain(retentionMilliseconds: Self.retention, presence: client)
            #expect(outcome.pruned == 0)
        }
        try self.b.collect()
        self.pass(days: 8)
        try self.b.sql("UPDATE clinicsync_horizon SET vector = x'\(hex)'")
        let client = MemberPresence(isHost: false, clinicMilliseconds: self.b.now)
        _ = try self.b.writer.maintain(retentionMilliseconds: Self.retention, presence: client)
        let floor = try self.b.value(Int64.self, "SELECT max(floor - sequence) FROM clinicsync_origin")
        #expect(floor == 0, "nothing above what is applied is gone")
        try self.write("p2")
        #expect(try self.b.value(Int.self, "SELECT count(*) FROM patients") == 2)
    }

    @Test(
        "an idle clinic's horizon costs one batch in the time of the retention, a busy one.s at most one in an eighth of it"
    )
    func cost() throws {
        let members = [self.a.origin.node, self.b.origin.node]
        let retention: Int64 = 60_000
        var batches: [UInt64] = []
        for isBusy in [false, true] {
            let before = try self.a.vector[self.a.origin]
            var written: UInt64 = 0
            for round in 0..<60 {
                if isBusy {
                    try self.write("busy\(round)")
                    written += 1
                }
                for store in [self.a, self.b] { store.now += 10_000 }
                try self.keepHouse(self.a, linked: [self.b.origin.node], members: members, retention: retention)
            }
            batches.append(try self.a.vector[self.a.origin] - before - written)
        }
        #expect(batches[0] <= 11)
        #expect(batches[1] <= 60)
        #expect(try self.chunks(self.a) <= 20)
        #expect(try self.chunks(self.b) > 20, "its own upkeep did not run")
    }

    /// A month of a clinic, 1 : 1 000: 50 changes a day of 200 rows with half a kilobyte each, in 10 batches.
    @Test("a month of changes leaves the file no larger than the tables and the log of the retention's week")
    func month() throws {
        let lone = try TestStore(7, eventsKept: 100)
        for row in 0..<200 {
            try lone.sql("INSERT INTO patients(id, fullName, address) VALUES('p\(row)', 'Ana', hex(zeroblob(250)))")
        }
        try lone.collect()
        var pages: [Int] = []
        for day in 0..<30 {
            for batch in 0..<10 {
                try lone.sql(
                    "UPDATE patients SET address = hex(randomblob(250)) WHERE CAST(substr(id, 2) AS INTEGER) / 5 % 40 = ?",
                    [(day * 10 + batch) % 40]
                )
                try lone.collect()
                lone.now += Self.day / 10
                let presence = MemberPresence(
                    isHost: true,
                    members: [lone.origin.node],
                    clinicMilliseconds: lone.now
                )
                _ = try lone.writer.maintain(retentionMilliseconds: Self.retention, presence: presence)
            }
            pages.append(try lone.value(Int.self, "PRAGMA page_count") ?? 0)
        }
        let afterWeek = pages[8]
        let afterMonth = try #require(pages.last)
        #expect(afterMonth <= afterWeek + afterWeek / 20, "\(pages)")
        #expect(pages[7] > pages[0], "the log of a week is seen")
        let oldest = try lone.value(Int64.self, "SELECT min(storedAt) FROM clinicsync_log") ?? 0
        #expect(oldest >= lone.now - Self.retention - 2 * Self.day / 10)
    }
}
