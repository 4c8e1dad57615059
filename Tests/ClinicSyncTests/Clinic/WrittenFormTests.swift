import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// Sessions and users whose rows have the forms that programs write.
@Suite("Switches and times in the forms that programs write")
struct WrittenFormTests {
    private static let hour: Int64 = 3_600_000

    /// How a program writes a time; the argument is milliseconds since 1970 in UTC, as SQL.
    struct Form: Sendable, CustomTestStringConvertible {
        var name: String
        var sql: @Sendable (String) -> String
        var testDescription: String { self.name }

        static let utc = Form(name: "ISO 8601") { "strftime('%Y-%m-%dT%H:%M:%fZ', \($0) / 1000.0, 'unixepoch')" }
        static let local = Form(name: "local time") { "datetime(\($0) / 1000.0, 'unixepoch', '+8 hours')" }
        static let milliseconds = Form(name: "milliseconds") { $0 }
        static let all: [Form] = [
            .utc, .local, .milliseconds,
            Form(name: "with an offset") {
                "strftime('%Y-%m-%dT%H:%M:%f+08:00', \($0) / 1000.0, 'unixepoch', '+8 hours')"
            },
            Form(name: "seconds") { "\($0) / 1000" },
            Form(name: "seconds with a fraction") { "\($0) / 1000.0" },
            Form(name: "milliseconds as text") { "' ' || \($0)" },
            Form(name: "microseconds") { "\($0) * 1000" },
            Form(name: "microseconds as REAL") { "\($0) * 1000.0" },
            Form(name: "Julian day") { "julianday(\($0) / 1000.0, 'unixepoch')" },
        ]
    }

    private func clinic() throws -> (TestStore, TestStore) {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO users(id, username) VALUES ('u1', 'ana')")
        try a.collect()
        try converge([a, b])
        return (a, b)
    }

    /// Writes a session that begins now; `login` and `expires` are SQL.
    private func write(_ store: TestStore, login: String, expires: String, isActive: String = "1") throws {
        try store.sql(
            """
            INSERT INTO user_sessions
                (id, userId, username, deviceId, loginTime, lastActivity, expiresAt, isActive, sessionToken)
            VALUES ('s1', 'u1', 'ana', 'A', \(login), \(login), \(expires), \(isActive), 'x')
            """
        )
    }

    /// Expects that every node ends the session as expired after eight hours, and not before.
    private func expectEightHours(_ stores: [TestStore]) throws {
        try stores[0].collect()
        try converge(stores)
        for store in stores {
            let start = store.now
            #expect(try store.writer.keepSessions(isMajority: true, at: start + 8 * Self.hour - 60_000).changes == 0)
            #expect(try store.writer.keepSessions(isMajority: true, at: start + 8 * Self.hour + 60_000).changes == 1)
            #expect(try store.value(String.self, "SELECT endReason FROM user_sessions") == "expired")
        }
    }

    // MARK: - Times

    @Test("a session lasts as long as its times say, in each form", arguments: Form.all)
    func lengths(_ form: Form) throws {
        let (a, b) = try self.clinic()
        let (login, expires) = ("\(a.now)", "\(a.now + 8 * Self.hour)")
        try self.write(a, login: form.sql(login), expires: form.sql(expires))
        try self.expectEightHours([a, b])
    }

    @Test(
        "an expiresAt in UTC counts beside a loginTime in local time",
        arguments: Form.all.filter { $0.name != Form.local.name }
    )
    func mixed(_ form: Form) throws {
        let (a, b) = try self.clinic()
        try self.write(a, login: Form.local.sql("\(a.now)"), expires: form.sql("\(a.now + 8 * Self.hour)"))
        try self.expectEightHours([a, b])
    }

    @Test(
        "an expiresAt that is not a time counts as eight hours",
        arguments: ["''", "'never'", "'now'", "'18:00'", "0", "28800", "9e999", "'2026-13-45'", "x''"]
    )
    func unreadable(_ expires: String) throws {
        let (a, b) = try self.clinic()
        try self.write(a, login: Form.utc.sql("\(a.now)"), expires: expires)
        try self.expectEightHours([a, b])
    }

    @Test("an expiresAt in local time that was written alone counts from the login")
    func prolonged() throws {
        let (a, b) = try self.clinic()
        let start = a.now
        try self.write(a, login: Form.local.sql("\(start)"), expires: Form.local.sql("\(start + Self.hour)"))
        try a.collect()
        a.now += Self.hour / 2
        try a.sql("UPDATE user_sessions SET expiresAt = \(Form.local.sql("\(start + 8 * Self.hour)"))")
        try a.collect()
        try converge([a, b])
        for store in [a, b] {
            #expect(try store.writer.keepSessions(isMajority: true, at: start + 8 * Self.hour - 60_000).changes == 0)
            #expect(try store.writer.keepSessions(isMajority: true, at: start + 8 * Self.hour + 60_000).changes == 1)
        }
    }

    @Test("people and programs see numbers as ISO 8601, and an old session in numbers is removed")
    func shown() throws {
        let (a, _) = try self.clinic()
        try self.write(a, login: "1764230400", expires: "1764259200123", isActive: "0")
        let session = try #require(try a.reader.sessions(onlyActive: false, limit: 9).first)
        #expect(session.loginTime == "2025-11-27T08:00:00.000Z")
        #expect(session.expiresAt == "2025-11-27T16:00:00.123Z")
        #expect(try a.writer.cleanSessions(olderThan: 0, at: 1_764_259_200_123) == 0)
        #expect(try a.writer.cleanSessions(olderThan: 0, at: 1_764_259_200_124) == 1)
    }

    // MARK: - Switches

    private static let on = ["1", "'1'", "1.0", "2", "'true'", "'TRUE'", "' t '", "'yes'", "'On'", "'active'", "x'01'"]
    private static let off = ["0", "'0'", "0.0", "'false'", "'False'", "''", "'no'", "'off'", "'inactive'", "x'00'"]

    @Test("a session is active on every node or on none, whatever means so", arguments: Self.on + Self.off)
    func activeSessions(_ isActive: String) throws {
        let (a, b) = try self.clinic()
        try self.write(a, login: "\(a.now)", expires: "\(a.now + Self.hour)")
        try a.collect()
        try a.sql("UPDATE user_sessions SET isActive = \(isActive)")
        try a.collect()
        try converge([a, b])
        let expected = Self.on.contains(isActive)
        for store in [a, b] {
            #expect(try store.reader.sessions(onlyActive: true, limit: 9).isEmpty == !expected)
            #expect(try store.reader.sessionCounts() == [expected ? "active" : "unknown": 1])
            let types = try store.reader.events(after: 0, limit: 1_000).events.compactMap(\.named).map(\.type)
            #expect(types.contains("session_ended") == !expected)
        }
    }

    @Test("a user may log in on every node or on none, whatever says so", arguments: Self.on + Self.off + ["NULL"])
    func activeUsers(_ isActive: String) throws {
        let (a, b) = try self.clinic()
        try self.write(a, login: "\(a.now)", expires: "\(a.now + Self.hour)")
        try a.sql("UPDATE users SET isActive = \(isActive)")
        try a.collect()
        try converge([a, b])
        let expected = !Self.off.contains(isActive)
        for store in [a, b] {
            #expect(try store.reader.loginAccount(username: "ana")?.isActive == expected)
            #expect(try store.writer.keepSessions(isMajority: true, at: store.now).changes == (expected ? 0 : 1))
        }
    }
}
