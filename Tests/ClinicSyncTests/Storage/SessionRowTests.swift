import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// Sessions as rows: decisions about them, and the events for programs.
@Suite("Sessions are rows")
struct SessionRowTests {
    private static let hour: Int64 = 3_600_000

    private func clinic() throws -> (TestStore, TestStore) {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO users(id, username) VALUES ('u1', 'ana'), ('u2', 'ben')")
        try a.collect()
        try converge([a, b])
        return (a, b)
    }

    private func login(
        _ store: TestStore,
        _ session: String,
        user: SQLiteValue = "u1",
        device: String,
        force: Bool = false,
        hearing: Int = 2,
        members: Int = 2
    ) throws -> LoginOutcome {
        let request = LoginRequest(
            sessionID: session,
            userID: user,
            username: user.displayText,
            deviceID: device,
            deviceName: "PC \(device)",
            tokenHash: Array(repeating: 0xAB, count: 32),
            loginMilliseconds: store.now,
            isForced: force
        )
        let decision = LoginDecision(
            requester: .command(RequestID(rawValue: 1)),
            request: request,
            hearing: hearing,
            members: members,
            mayWait: false,
            correctedMilliseconds: store.now
        )
        guard case (.decided(let outcome, _), _) = try store.writer.decide(decision) else { return .unavailable }
        return outcome
    }

    /// The writes of a program that does not use the node's API.
    ///
    /// `clock` is the error of its PC's clock.
    private func write(_ store: TestStore, _ session: String, device: String, clock: Int64 = 0) throws {
        try store.sql(
            """
            INSERT INTO user_sessions(id, userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
            VALUES (?1, 'u1', 'ana', ?2, strftime('%Y-%m-%dT%H:%M:%fZ', ?3 / 1000.0, 'unixepoch'),
                strftime('%Y-%m-%dT%H:%M:%fZ', ?3 / 1000.0, 'unixepoch'),
                strftime('%Y-%m-%dT%H:%M:%fZ', ?3 / 1000.0 + 28800, 'unixepoch'), 'x')
            """,
            [session, device, store.now + clock]
        )
    }

    private func active(_ store: TestStore) throws -> String? {
        try store.value(
            String.self,
            "SELECT group_concat(id) FROM (SELECT id FROM user_sessions WHERE isActive = 1 ORDER BY id)"
        )
    }

    private func reason(_ store: TestStore, _ session: String) throws -> String? {
        try store.value(String.self, "SELECT endReason FROM user_sessions WHERE id = '\(session)'")
    }

    private func named(_ store: TestStore) throws -> [NamedEvent] {
        try store.reader.events(after: 0, limit: 1_000).events.compactMap(\.named)
    }

    // MARK: - Logging in

    @Test("a second login on another PC is a conflict that names the first; a forced one ends it")
    func conflict() throws {
        let (a, _) = try self.clinic()
        #expect(try self.login(a, "s1", device: "A") == .granted(isProvisional: false))
        guard case .conflict(let holders) = try self.login(a, "s2", device: "B") else {
            Issue.record("it was no conflict")
            return
        }
        #expect(holders.map(\.sessionID) == ["s1"])
        #expect(holders.map(\.deviceName) == ["PC A"])
        #expect(try self.active(a) == "s1")
        #expect(try self.login(a, "s2", device: "B", force: true) == .granted(isProvisional: false))
        #expect(try self.active(a) == "s2")
        #expect(try self.reason(a, "s1") == "forced_login")
    }

    @Test("the same request is granted again and writes nothing; one that was ended meanwhile is over")
    func repeated() throws {
        let (a, _) = try self.clinic()
        _ = try self.login(a, "s1", device: "A")
        try a.collect()
        #expect(try self.login(a, "s1", device: "A") == .granted(isProvisional: false))
        #expect(try a.collect().logged.isEmpty)
        _ = try a.writer.endSessions(["s1"], .logout, at: a.now)
        #expect(try self.login(a, "s1", device: "A") == .unavailable)
    }

    @Test("the same PC may log in again after a crash, without force and without a conflict")
    func samePC() throws {
        let (a, _) = try self.clinic()
        _ = try self.login(a, "s1", device: "A")
        #expect(try self.login(a, "s2", device: "A") == .granted(isProvisional: false))
        #expect(try self.active(a) == "s2")
        #expect(try self.reason(a, "s1") == "superseded")
    }

    @Test("nobody logs in who is deactivated or unknown")
    func refused() throws {
        let (a, _) = try self.clinic()
        try a.sql("UPDATE users SET isActive = 0 WHERE id = 'u2'")
        #expect(try self.login(a, "s1", user: "u2", device: "A") == .refused)
        #expect(try self.login(a, "s1", user: "u3", device: "A") == .refused)
        #expect(try self.active(a) == nil)
    }

    @Test("who hears half of the clinic or less grants provisionally, and a host that hears more confirms it")
    func provisional() throws {
        let (a, b) = try self.clinic()
        #expect(try self.login(a, "s1", device: "A", hearing: 2, members: 4) == .granted(isProvisional: true))
        try a.collect()
        try converge([a, b])
        #expect(try b.reader.sessions(onlyActive: true, limit: 9).map(\.isProvisional) == [true])
        #expect(try b.writer.keepSessions(isMajority: false, at: b.now).changes == 0)
        #expect(try b.writer.keepSessions(isMajority: true, at: b.now).changes == 1)
        try b.collect()
        try converge([a, b])
        #expect(try a.reader.sessions(onlyActive: true, limit: 9).map(\.isProvisional) == [false])
        #expect(try b.writer.keepSessions(isMajority: true, at: b.now).changes == 0)
    }

    @Test("rows of members and revocations that nobody signed change no majority")
    func forgedMembers() throws {
        let (a, _) = try self.clinic()
        try a.sql("INSERT INTO clinicsync_node(id) VALUES ('n1'), ('n2'), ('n3'), ('n4')")
        #expect(try self.login(a, "s1", device: "A", hearing: 2, members: 3) == .granted(isProvisional: false))
        try a.sql("INSERT INTO clinicsync_revocation(node, number, entry) VALUES ('n2', 1, x''), ('n3', 1, x'')")
        #expect(
            try self.login(a, "s2", user: "u2", device: "B", hearing: 1, members: 3) == .granted(isProvisional: true)
        )
    }

    @Test("logins and ends stand in the activity log once, also when two hosts write them")
    func activityLog() throws {
        let (a, b) = try self.clinic()
        for store in [a, b] { _ = try self.login(store, "s1", device: "A") }
        for store in [a, b] { _ = try store.writer.endSessions(["s1"], .admin, at: store.now) }
        for store in [a, b] { try store.collect() }
        try converge([a, b])
        let actions = "SELECT group_concat(actionDescription) FROM (SELECT * FROM user_activity_log ORDER BY id DESC)"
        #expect(try a.value(String.self, actions) == "Logged in,Session ended: admin")
        // Two hosts wrote equal rows, so there is nothing to decide.
        for store in [a, b] {
            #expect(try store.reader.journal(openOnly: false).isEmpty)
            #expect(try store.reader.summary().openConflicts == 0)
        }
    }

    // MARK: - Keys

    @Test("a user whose key is a BLOB has one session, however its sessions were written, and logs in")
    func blobKeys() throws {
        let (a, b) = try self.clinic()
        // BLOBs that are no UTF-8, that end in NUL, and that differ only behind a NUL.
        try a.sql(
            "INSERT INTO users(id, username) VALUES (x'00ff01', 'cleo'), (x'00ff02', 'dan'), (x'c328', 'eve')"
        )
        for (id, user, device) in [("01", "00ff01", "A"), ("0001", "00ff02", "A"), ("0002", "00ff02", "B")] {
            a.now += 1_000
            try a.sql(
                """
                INSERT INTO user_sessions(id, userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
                VALUES (x'\(id)', x'\(user)', 'n', ?1, datetime(?2, 'unixepoch'), datetime(?2, 'unixepoch'),
                    datetime(?2 + 28800, 'unixepoch'), 'x')
                """,
                [device, a.now / 1_000]
            )
            try a.collect()
        }
        try converge([a, b])
        // The second session of dan supersedes the first; cleo's session is left alone.
        #expect(try b.writer.keepSessions(isMajority: true, at: b.now).changes == 1)
        try b.collect()
        try converge([a, b])
        let ended = "SELECT group_concat(hex(id) || ' ' || endReason) FROM user_sessions WHERE isActive = 0"
        #expect(try a.value(String.self, ended) == "0001 superseded")
        let event = try #require(try self.named(a).last { $0.type == "session_ended" })
        #expect(event.recordID == "x'0001'" && event.fields["userId"] == .text("x'00ff02'"))
        // The account and the login carry the BLOB.
        let account = try #require(try a.reader.loginAccount(username: "eve"))
        #expect(account.id == .blob([0xc3, 0x28]))
        // The name in another case is the same name.
        #expect(try a.reader.loginAccount(username: "EVE") == account)
        #expect(try a.reader.username(of: account.id) == "eve")
        #expect(try self.login(a, "s1", user: account.id, device: "A") == .granted(isProvisional: false))
        #expect(try a.writer.keepSessions(isMajority: true, at: a.now).changes == 0)
        let log = "SELECT hex(userId) FROM user_activity_log WHERE id = 's1-login'"
        #expect(try a.value(String.self, log) == "C328")
        // People name the key by its text form.
        #expect(try a.reader.userID(named: "x'c328'") == account.id)
        let sessions = try a.reader.activeSessions(named: "x'c328'", orUserIDs: [account.id])
        #expect(sessions.map(\.id) == ["s1"])
    }

    @Test("two users whose keys differ only in Unicode normalisation do not end one another's sessions")
    func normalisation() throws {
        let (a, _) = try self.clinic()
        let (composed, decomposed) = ("ren\u{E9}", "rene\u{301}")
        try a.sql("INSERT INTO users(id, username) VALUES (?1, ?1), (?2, ?2)", [composed, decomposed])
        #expect(try self.login(a, "s1", user: .string(composed), device: "A") == .granted(isProvisional: false))
        #expect(try self.login(a, "s2", user: .string(decomposed), device: "B") == .granted(isProvisional: false))
        try a.collect()
        #expect(try a.writer.keepSessions(isMajority: true, at: a.now).changes == 0)
        #expect(try self.active(a) == "s1,s2")
        let sessions = try a.reader.activeSessions(named: composed, orUserIDs: [.string(composed)])
        #expect(sessions.map(\.id) == ["s1"])
        // Two PCs whose names for themselves differ so are two PCs.
        guard case .conflict = try self.login(a, "s3", user: .string(composed), device: "A\u{301}") else {
            Issue.record("the login on another PC was no conflict")
            return
        }
        _ = try a.writer.endSessions(["s1"], .logout, at: a.now)
        #expect(try self.login(a, "s4", user: .string(composed), device: "\u{C1}") == .granted(isProvisional: false))
        guard case .conflict = try self.login(a, "s5", user: .string(composed), device: "A\u{301}") else {
            Issue.record("the PCs were taken for one")
            return
        }
    }

    // MARK: - Clocks

    @Test(
        "a session that a program wrote lasts its eight hours, however wrong its PC's clock",
        arguments: [-86_400_000, 0, 86_400_000] as [Int64]
    )
    func clocks(_ error: Int64) throws {
        let (a, b) = try self.clinic()
        try self.write(a, "s1", device: "A", clock: error)
        try a.collect()
        try converge([a, b])
        #expect(try b.writer.keepSessions(isMajority: true, at: b.now + 7 * Self.hour).changes == 0)
        #expect(try b.writer.keepSessions(isMajority: true, at: b.now + 9 * Self.hour).changes == 1)
        #expect(try self.reason(b, "s1") == "expired")
    }

    @Test("activity lets a session last on; it is written once a minute, and never for a session that has ended")
    func activity() throws {
        let (a, _) = try self.clinic()
        _ = try self.login(a, "s1", device: "A")
        try a.collect()
        #expect(try a.writer.touchSession("s1", at: a.now + 30_000) == true)
        #expect(try a.collect().logged.isEmpty)
        a.now += 7 * Self.hour
        #expect(try a.writer.touchSession("s1", at: a.now) == true)
        #expect(try !a.collect().logged.isEmpty)
        #expect(try a.writer.keepSessions(isMajority: true, at: a.now + 7 * Self.hour).changes == 0)
        #expect(try a.writer.keepSessions(isMajority: true, at: a.now + 9 * Self.hour).changes == 1)
        #expect(try a.writer.touchSession("s1", at: a.now + 9 * Self.hour) == false)
        #expect(try a.writer.touchSession("s9", at: a.now) == nil)
    }

    @Test("the latest login stays, by the clinic's time and not by what a wrong clock wrote")
    func latest() throws {
        let (a, b) = try self.clinic()
        try self.write(a, "early", device: "A", clock: 86_400_000)
        try a.collect()
        b.now += 1_000
        try self.write(b, "late", device: "B", clock: -86_400_000)
        try b.collect()
        try converge([a, b])
        for store in [a, b] {
            #expect(try store.writer.keepSessions(isMajority: true, at: store.now).changes == 1)
            #expect(try self.active(store) == "late")
            #expect(try self.reason(store, "early") == "superseded")
            try store.collect()
        }
        try converge([a, b])
        #expect(try self.active(a) == "late")
    }

    // MARK: - What programs are told

    @Test("a row of another PC is a conflict, told once on each node, and the end of the first is told with its cause")
    func events() throws {
        let (a, b) = try self.clinic()
        try self.write(a, "s1", device: "A")
        try a.collect()
        try converge([a, b])
        #expect(try self.named(a).isEmpty)
        b.now += 1_000
        try self.write(b, "s2", device: "B")
        try b.collect()
        try converge([a, b])
        for store in [a, b] {
            let events = try self.named(store)
            #expect(events.map(\.type) == ["session_conflict"])
            #expect(events.first?.recordID == "s2")
            #expect(events.first?.fields["userId"] == .text("u1"))
            guard case .list(let others)? = events.first?.fields["with"], case .object(let other)? = others.first else {
                Issue.record("the event names nobody")
                return
            }
            #expect(other["sessionId"] == .text("s1") && other["deviceId"] == .text("A"))
        }
        #expect(try a.writer.keepSessions(isMajority: true, at: a.now).changes == 1)
        try a.collect()
        try converge([a, b])
        for store in [a, b] {
            let ended = try self.named(store).filter { $0.type == "session_ended" }
            #expect(ended.map(\.recordID) == ["s1"])
            #expect(ended.first?.fields["reason"] == .text("superseded"))
            #expect(
                ended.first?.fields["by"]
                    == .object(["deviceId": .text("B"), "deviceName": .text(""), "sessionId": .text("s2")])
            )
        }
    }

    @Test("a forced login through the agent is no conflict, and ends the other session in one event")
    func forcedEvents() throws {
        let (a, b) = try self.clinic()
        _ = try self.login(a, "s1", device: "A")
        try a.collect()
        _ = try self.login(a, "s2", device: "B", force: true)
        try a.collect()
        try converge([a, b])
        for store in [a, b] {
            #expect(try self.named(store).map(\.type) == ["session_ended"])
            #expect(try self.named(store).first?.fields["reason"] == .text("forced_login"))
        }
    }

    @Test("deactivating, or deleting, a user ends the sessions and tells so")
    func users() throws {
        let (a, b) = try self.clinic()
        _ = try self.login(a, "s1", device: "A")
        _ = try self.login(a, "s2", user: "u2", device: "B")
        try a.collect()
        try b.sql("UPDATE users SET isActive = 0 WHERE id = 'u2'")
        try b.collect()
        try converge([a, b])
        #expect(try a.writer.keepSessions(isMajority: true, at: a.now).changes == 1)
        try a.sql("PRAGMA foreign_keys = ON")
        try a.sql("DELETE FROM user_sessions WHERE userId = 'u1'")
        try a.sql("DELETE FROM users WHERE id = 'u1'")
        try a.collect()
        try converge([a, b])
        #expect(try self.active(b) == nil)
        let ended = try self.named(b)
        #expect(Set(ended.map(\.recordID)) == ["s1", "s2"])
        #expect(ended.allSatisfy { $0.fields["reason"] == .text("admin") })
    }

    @Test("a program that ends a session in words of its own has logged out")
    func ownWords() throws {
        let (a, b) = try self.clinic()
        try self.write(a, "s1", device: "A")
        try a.collect()
        try a.sql("UPDATE user_sessions SET isActive = 0, endReason = 'User clicked Exit' WHERE id = 's1'")
        try a.collect()
        try converge([a, b])
        for store in [a, b] { #expect(try self.named(store).map { $0.fields["reason"] } == [.text("logout")]) }
    }

    @Test("ended sessions are removed when they are old, and that tells nobody anything")
    func clean() throws {
        let (a, b) = try self.clinic()
        _ = try self.login(a, "s1", device: "A")
        _ = try a.writer.endSessions(["s1"], .logout, at: a.now)
        try a.collect()
        let told = try self.named(a).count
        #expect(try a.writer.cleanSessions(olderThan: 30 * 24 * Self.hour, at: a.now + 29 * 24 * Self.hour) == 0)
        #expect(try a.writer.cleanSessions(olderThan: 30 * 24 * Self.hour, at: a.now + 31 * 24 * Self.hour) == 1)
        try a.collect()
        try converge([a, b])
        #expect(try b.value(Int.self, "SELECT count(*) FROM user_sessions") == 0)
        #expect(try self.named(a).count == told)
        #expect(try a.reader.sessionCounts() == [:])
    }
}
