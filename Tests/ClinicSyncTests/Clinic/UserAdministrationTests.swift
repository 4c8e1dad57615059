import ClinicSync
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@testable import ClinicSyncClinic

@Suite("Users of the clinic", .timeLimit(.minutes(2))) struct UserAdministrationTests {
    /// Runs the body with the path of a new database.
    private func withDatabase(_ body: (String) throws -> Void) throws {
        let directory = try TemporaryDirectory()
        let url = directory.file("clinic.db")
        try SQLiteReplicaStore.create(at: url, origin: Origin(node: NodeID(high: 1, low: 2)))
        try withExtendedLifetime(directory) { try body(url.path(percentEncoded: false)) }
    }

    @Test("a user is added once, with a hash, and gets another password")
    func addAndChange() throws {
        try self.withDatabase { path in
            let users = UserAdministration(path: path)
            let id = try users.add(username: "ana", role: .doctor, fullName: "Ana Santos", password: "correct horse")
            #expect(throws: ClinicRefusal(.refused, "")) {
                try users.add(username: "ana", role: .admin, fullName: nil, password: "another horse")
            }
            #expect(throws: ClinicRefusal(.refused, "")) { try users.requireNoUser("ana") }
            #expect(throws: ClinicRefusal(.refused, "")) { try users.setPassword("another horse", of: "ben") }
            #expect(throws: ClinicRefusal(.refused, "")) { try users.requireUser("ben") }
            try users.requireNoUser("ben")
            try users.requireUser("ana")
            let first = try #require(try UserTable(path: path).rows().first?.passwordHash)
            #expect(try PasswordHash.check("correct horse", against: first) == .matches(isWeak: false))
            try users.setPassword("another horse", of: "ana")
            let second = try #require(try UserTable(path: path).rows().first?.passwordHash)
            #expect(try PasswordHash.check("another horse", against: second) == .matches(isWeak: false))
            #expect(try PasswordHash.check("correct horse", against: second) == .differs)
            #expect(
                try users.users() == [
                    UserAdministration.User(
                        id: id,
                        username: "ana",
                        role: "doctor",
                        fullName: "Ana Santos",
                        active: true,
                        password: "scrypt"
                    )
                ]
            )
        }
    }

    @Test("names that differ in case alone are one name")
    func cases() throws {
        try self.withDatabase { path in
            let users = UserAdministration(path: path)
            try users.add(username: "Zoë", role: .admin, fullName: nil, password: "correct horse")
            for name in ["zoë", "ZOË", "zoe\u{308}"] {
                #expect(throws: ClinicRefusal(.refused, "")) { try users.requireNoUser(name) }
                #expect(throws: ClinicRefusal(.refused, "")) {
                    try users.add(username: name, role: .admin, fullName: nil, password: "correct horse")
                }
            }
            try users.add(username: "ben", role: .doctor, fullName: nil, password: "correct horse")
            #expect(throws: ClinicRefusal(.refused, "")) { try users.rename("ben", to: "zoË") }
            #expect(throws: ClinicRefusal(.refused, "")) { try users.rename("cleo", to: "dan") }
            #expect(throws: ClinicRefusal(.usage, "")) { try users.rename("ben", to: " ben") }
            try users.rename("BEN", to: "Benjamin")
            try users.rename("benjamin", to: "BENJAMIN")
            #expect(try users.users().map(\.username) == ["BENJAMIN", "Zoë"])
            try users.requireUser("zoË")
        }
    }

    @Test("a new password and a deactivation end the user's sessions, and nobody else's")
    func sessions() throws {
        try self.withDatabase { path in
            let users = UserAdministration(path: path)
            let ids = try ["ana", "ben"].map {
                try users.add(username: $0, role: .doctor, fullName: nil, password: "correct horse")
            }
            let queue = try DatabaseQueue(path: path)
            func logIn() throws {
                for id in ids {
                    try queue.write { db in
                        try db.execute(
                            sql: """
                                INSERT INTO user_sessions (userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
                                VALUES (?, 'x', 'd', datetime('now'), datetime('now'), datetime('now', '+8 hours'), 'x')
                                """,
                            arguments: [id]
                        )
                    }
                }
            }
            func ended() throws -> [String] {
                try queue.read { db in
                    try String.fetchAll(
                        db,
                        sql: """
                            SELECT u.username || ' ' || s.endReason FROM user_sessions AS s JOIN users AS u ON u.id = s.userId
                            WHERE s.isActive = 0 AND s.invalidatedAt IS NOT NULL ORDER BY 1
                            """
                    )
                }
            }
            try logIn()
            #expect(try users.setPassword("another horse", of: "Ana") == 1)
            #expect(try ended() == ["ana admin"])
            #expect(try users.setActive(false, "BEN") == 1)
            #expect(try ended() == ["ana admin", "ben admin"])
            #expect(try users.users().map(\.active) == [true, false])
            #expect(try users.setActive(true, "ben") == 0)
            #expect(try users.users().map(\.active) == [true, true])
            #expect(throws: ClinicRefusal(.refused, "")) { try users.setActive(false, "cleo") }
        }
    }

    @Test("the only active administrator is not deactivated")
    func lastAdministrator() throws {
        try self.withDatabase { path in
            let users = UserAdministration(path: path)
            for name in ["ana", "ben"] {
                try users.add(username: name, role: .admin, fullName: nil, password: "correct horse")
            }
            try users.setActive(false, "ana")
            #expect(throws: ClinicRefusal(.refused, "")) { try users.setActive(false, "ben") }
            #expect(try users.users().map(\.active) == [false, true])
        }
    }

    @Test("names that are none are refused before anything is hashed")
    func names() throws {
        try self.withDatabase { path in
            let users = UserAdministration(path: path)
            for name in ["", " ", " ana", "ana ", "a\nb", "a\0b", String(repeating: "x", count: 65)] {
                #expect(throws: ClinicRefusal(.usage, "")) {
                    try users.add(username: name, role: .admin, fullName: nil, password: "correct horse")
                }
            }
            #expect(throws: ClinicRefusal(.usage, "")) {
                try users.add(username: "ana", role: .admin, fullName: "A\u{1B}[31m", password: "correct horse")
            }
            let all = try users.users()
            #expect(all.isEmpty)
        }
    }

    @Test("whatever programs wrote into the table is listed, and says whether the password can be used")
    func foreignRows() throws {
        try self.withDatabase { path in
            let queue = try DatabaseQueue(path: path)
            try queue.write { db in
                try db.execute(
                    sql: """
                        INSERT INTO users (id, username, password, role, isActive) VALUES
                            ('1', 'a', '$2b$10$WvvTPHKwdBJ3uk0Z37EMR.hLA2W6N9AEBhEgrAOljy2Ae5MtaSIUi', 'doctor', 1),
                            ('2', 'b', 'secret', 'janitor', 0),
                            ('3', 'c', NULL, NULL, NULL),
                            ('4', NULL, x'00', x'ff', 'no')
                        """
                )
            }
            try queue.close()
            let rows = try UserAdministration(path: path).users()
                .map { [$0.id, $0.username, $0.role, "\($0.active)", $0.password] }
            #expect(
                rows == [
                    ["4", "", rows[0][2], "false", "none"], ["1", "a", "doctor", "true", "bcrypt"],
                    ["2", "b", "janitor", "false", "unusable"], ["3", "c", "", "true", "none"],
                ]
            )
        }
    }

    @Test("a made password is long, easy to read and never the same")
    func made() {
        let passwords = Set((0..<100).map { _ in FirstAdministrator.makePassword() })
        #expect(passwords.count == 100)
        for password in passwords {
            #expect(password.wholeMatch(of: /([a-hj-km-np-z2-9]{4}-){3}[a-hj-km-np-z2-9]{4}/) != nil, "\(password)")
        }
    }
}
