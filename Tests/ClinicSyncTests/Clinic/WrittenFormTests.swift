import ClinicSyncClinic
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// Sessions and users whose rows have the forms that programs write.
///
/// Each test writes all forms on one node: a user and a session for each form, whose keys are the form itself.
@Suite("Switches and times in the forms that programs write")
struct WrittenFormTests {
    private static let hour: Int64 = 3_600_000
    private static let on = ["1", "'1'", "1.0", "2", "'true'", "'TRUE'", "' t '", "'yes'", "'On'", "'active'", "x'01'"]
    private static let off = ["0", "'0'", "0.0", "'false'", "'False'", "''", "'no'", "'off'", "'inactive'", "x'00'"]

    /// SQL that makes a form of a time; `?` stands for milliseconds since 1970.
    private static let times = [
        "strftime('%Y-%m-%dT%H:%M:%fZ', ? / 1000.0, 'unixepoch')", "datetime(? / 1000.0, 'unixepoch') || 'z'",
        "strftime('%Y-%m-%dT%H:%M:%f+08:00', ? / 1000.0, 'unixepoch', '+8 hours')", "? / 1000", "? / 1000.0", "?",
        "' ' || ?", "? * 1.0", "? * 1000", "? * 1000.0", "julianday(? / 1000.0, 'unixepoch')",
    ]
    /// The local time in the Philippines.
    private static let local = "datetime(? / 1000.0, 'unixepoch', '+8 hours')"
    private static let noTimes = ["''", "'never'", "'now'", "'18:00'", "0", "28800", "9e999", "'2026-13-45'", "x''"]

    private func clinic() throws -> (TestStore, TestStore) { (try TestStore(1), try TestStore(2)) }

    /// Writes a user and a session; `login`, `expires`, `isActive` are SQL.
    private func write(
        _ store: TestStore,
        _ key: String,
        login: String,
        expires: String,
        isActive: String = "1"
    ) throws {
        try store.sql("INSERT INTO users(id, username) VALUES (?1, ?1)", [key])
        try store.sql(
            """
            INSERT INTO user_sessions
                (id, userId, username, deviceId, loginTime, lastActivity, expiresAt, isActive, sessionToken)
            VALUES (?1, ?1, ?1, 'A', \(login), \(login), \(expires), \(isActive), 'x')
            """,
            [key]
        )
    }

    private func sql(_ form: String, _ milliseconds: Int64) -> String {
        form.replacing("?", with: "\(milliseconds)")
    }

    private func active(_ store: TestStore) throws -> [String] {
        try store.reader.sessions(onlyActive: true, limit: 99).map(\.username).sorted()
    }

    /// Expects that each node ends these sessions as expired eight hours after `start`, and none before.
    private func expectEightHours(_ stores: [TestStore], from start: Int64, _ keys: [String]) throws {
        try stores[0].collect()
        try converge(stores)
        for store in stores {
            _ = try store.writer.keepSessions(isMajority: true, at: start + 8 * Self.hour - 60_000)
            #expect(try self.active(store) == keys.sorted())
            _ = try store.writer.keepSessions(isMajority: true, at: start + 8 * Self.hour + 60_000)
            #expect(try self.active(store) == [])
            let reasons = "SELECT group_concat(DISTINCT endReason) FROM user_sessions"
            #expect(try store.value(String.self, reasons) == "expired")
        }
    }

    // MARK: - Times

    @Test("a session lasts as long as its times say, in each form, also beside a login in local time")
    func lengths() throws {
        let (a, b) = try self.clinic()
        let (start, end) = (a.now, a.now + 8 * Self.hour)
        for form in Self.times + [Self.local] {
            try self.write(a, form, login: self.sql(form, start), expires: self.sql(form, end))
        }
        for form in Self.times {
            try self.write(a, "local, " + form, login: self.sql(Self.local, start), expires: self.sql(form, end))
        }
        let keys = Self.times + [Self.local] + Self.times.map { "local, " + $0 }
        try self.expectEightHours([a, b], from: start, keys)
    }

    @Test("an expiresAt that is not a time counts as eight hours")
    func unreadable() throws {
        let (a, b) = try self.clinic()
        for form in Self.noTimes { try self.write(a, form, login: self.sql(Self.times[0], a.now), expires: form) }
        // A local time tells no length beside a login in UTC.
        let local = self.sql(Self.local, a.now + Self.hour)
        try self.write(a, "local", login: self.sql(Self.times[0], a.now), expires: local)
        try self.expectEightHours([a, b], from: a.now, Self.noTimes + ["local"])
    }

    @Test("an expiresAt that was written alone counts: in UTC as it is, in local time from the login")
    func prolonged() throws {
        let (a, b) = try self.clinic()
        let start = a.now
        for form in [Self.times[0], Self.local] {
            try self.write(a, form, login: self.sql(form, start), expires: self.sql(form, start + Self.hour))
        }
        try a.collect()
        a.now += Self.hour / 2
        for form in [Self.times[0], Self.local] {
            let expires = self.sql(form, start + 8 * Self.hour)
            try a.sql("UPDATE user_sessions SET expiresAt = \(expires) WHERE id = ?", [form])
        }
        try self.expectEightHours([a, b], from: start, [Self.times[0], Self.local])
    }

    @Test("people and programs see numbers as ISO 8601, and an old session in numbers is removed")
    func shown() throws {
        let (a, _) = try self.clinic()
        try self.write(a, "s1", login: "1764230400", expires: "1764259200123", isActive: "0")
        let session = try #require(try a.reader.sessions(onlyActive: false, limit: 9).first)
        #expect(session.loginTime == "2025-11-27T08:00:00.000Z")
        #expect(session.expiresAt == "2025-11-27T16:00:00.123Z")
        #expect(try a.writer.cleanSessions(olderThan: 0, at: 1_764_259_200_123) == 0)
        #expect(try a.writer.cleanSessions(olderThan: 0, at: 1_764_259_200_124) == 1)
    }

    // MARK: - Switches

    @Test("a session is active on every node or on none, and its end is told, whatever says so")
    func activeSessions() throws {
        let (a, b) = try self.clinic()
        for form in Self.on + Self.off { try self.write(a, form, login: "\(a.now)", expires: "\(a.now + Self.hour)") }
        try a.collect()
        try converge([a, b])
        for form in Self.on + Self.off { try a.sql("UPDATE user_sessions SET isActive = \(form) WHERE id = ?", [form]) }
        try a.collect()
        try converge([a, b])
        for store in [a, b] {
            #expect(try self.active(store) == Self.on.sorted())
            #expect(try store.reader.sessionCounts() == ["active": Self.on.count, "unknown": Self.off.count])
            let ended = try store.reader.events(after: 0, limit: 1_000).events.compactMap(\.named)
                .filter { $0.type == "session_ended" }
            #expect(ended.compactMap(\.recordID).sorted() == Self.off.sorted())
        }
    }

    @Test("a user may log in on every node or on none, whatever says so")
    func activeUsers() throws {
        let (a, b) = try self.clinic()
        for form in Self.on + Self.off + ["NULL"] {
            try self.write(a, form, login: "\(a.now)", expires: "\(a.now + Self.hour)")
            try a.sql("UPDATE users SET isActive = \(form) WHERE id = ?", [form])
        }
        try a.collect()
        try converge([a, b])
        let expected = Self.on + ["NULL"]
        for store in [a, b] {
            for form in Self.on + Self.off + ["NULL"] {
                let account = try store.reader.loginAccount(username: form)
                #expect(account?.isActive == expected.contains(form), "\(form)")
            }
            #expect(try store.writer.keepSessions(isMajority: true, at: store.now).changes == Self.off.count)
            #expect(try self.active(store) == expected.sorted())
        }
    }
}
