import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB

/// The role of a user of the clinic's program.
package enum UserRole: String, Sendable, Hashable, Codable, CaseIterable {
    case admin
    case doctor
    case medtech
}

/// The clinic's table of users, which this type reads and writes like any program, through a separate connection.
///
/// The node may run or not. The node captures and replicates these writes like every program's edit.
package struct UserTable: Sendable {
    /// The content of a new row.
    package struct NewRow: Sendable, Hashable {
        /// The name by which the user logs in.
        package var username: String
        /// The user's role.
        package var role: UserRole
        /// The name of the person.
        package var fullName: String?
        /// The hash of the password.
        package var passwordHash: String

        /// Makes a row.
        package init(username: String, role: UserRole, fullName: String?, passwordHash: String) {
            self.username = username
            self.role = role
            self.fullName = fullName
            self.passwordHash = passwordHash
        }
    }

    /// A row as it is in the table.
    package struct Row: Sendable, Hashable {
        /// The row's key.
        package var id: String
        /// The name by which the user logs in; empty when a program left it out.
        package var username: String
        /// The user's role, which may be any text, because programs write it.
        package var role: String
        /// The name of the person.
        package var fullName: String
        /// Whether the user may log in.
        package var isActive: Bool
        /// The stored password or hash; `nil` when the value is not text.
        package var passwordHash: String?
    }

    /// Seconds to wait for another program's transaction.
    private static let busyTimeoutSeconds: Double = 30
    /// SQL that is 1 for a user who may log in; NULL counts as the column's default, 1.
    static let isActive = WrittenForms.isOn("isActive", ifNull: true)
    private static let now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

    private let path: String

    /// The table in the database at `path`.
    package init(path: String) { self.path = path }

    /// Adds a user.
    ///
    /// - Returns: The row's key; `nil` when the name is taken, in whatever case.
    /// - Throws: ``StoreError``.
    package func add(_ row: NewRow) throws -> String? {
        try self.write { db in
            guard try UserTable.holders(of: row.username, in: db).isEmpty else { return nil }
            try db.execute(
                sql: """
                    INSERT INTO users (username, password, role, fullName, isActive, createdAt, updatedAt)
                    VALUES (?, ?, ?, ?, 1, \(UserTable.now), \(UserTable.now))
                    """,
                arguments: [row.username, row.passwordHash, row.role.rawValue, row.fullName]
            )
            return try String.fetchOne(
                db,
                sql: "SELECT id FROM users WHERE username = ?",
                arguments: [row.username]
            )
        }
    }

    /// Changes a user's hash, and ends the user's sessions: whoever knew the former password is logged out.
    ///
    /// - Returns: The number of ended sessions; `nil` when there is no such user.
    /// - Throws: ``StoreError``.
    package func setPasswordHash(_ hash: String, of username: String) throws -> Int? {
        try self.write { db in
            guard let username = try UserTable.spelling(of: username, in: db) else { return nil }
            try db.execute(
                sql: "UPDATE users SET password = ?, updatedAt = \(UserTable.now) WHERE username = ?",
                arguments: [hash, username]
            )
            return try UserTable.endSessions(of: username, in: db)
        }
    }

    /// The result of a change to a user.
    package enum Change: Sendable, Hashable {
        /// The change is made; the value is the number of sessions that it ended.
        case made(endedSessions: Int)
        /// There is no such user.
        case unknown
        /// Another user has the new name, in whatever case.
        case taken
        /// The user is the only active administrator.
        case lastAdministrator
    }

    /// Gives a user another name.
    ///
    /// - Throws: ``StoreError``.
    package func rename(_ username: String, to name: String) throws -> Change {
        try self.write { db in
            guard let username = try UserTable.spelling(of: username, in: db) else { return .unknown }
            let holders = try UserTable.holders(of: name, in: db)
            // The user itself may take another case of its name.
            guard holders.allSatisfy({ SQLiteValue.string($0) == .string(username) }) else { return .taken }
            try db.execute(
                sql: "UPDATE users SET username = ?, updatedAt = \(UserTable.now) WHERE username = ?",
                arguments: [name, username]
            )
            return .made(endedSessions: 0)
        }
    }

    /// Lets a user log in, or not any more; the latter ends the user's sessions.
    ///
    /// - Throws: ``StoreError``.
    package func setActive(_ isActive: Bool, _ username: String) throws -> Change {
        try self.write { db in
            guard let username = try UserTable.spelling(of: username, in: db) else { return .unknown }
            if !isActive {
                let isLast = try Bool.fetchOne(
                    db,
                    sql: """
                        SELECT EXISTS (SELECT 1 FROM users WHERE username = ?1 AND role = 'admin' AND \(UserTable.isActive))
                            AND NOT EXISTS
                            (SELECT 1 FROM users WHERE username IS NOT ?1 AND role = 'admin' AND \(UserTable.isActive))
                        """,
                    arguments: [username]
                )
                guard isLast == false else { return .lastAdministrator }
            }
            try db.execute(
                sql: "UPDATE users SET isActive = ?, updatedAt = \(UserTable.now) WHERE username = ?",
                arguments: [isActive, username]
            )
            return .made(endedSessions: isActive ? 0 : try UserTable.endSessions(of: username, in: db))
        }
    }

    /// The names of the users who have this name, in whatever case.
    private static func holders(of name: String, in db: Database) throws -> [String] {
        try String.fetchAll(db, sql: "SELECT CAST(username AS TEXT) FROM users WHERE username IS NOT NULL")
            .filter { UserName.isSame($0, name) }
    }

    /// The name of a user as it is in the table: exactly this name, otherwise the only one that differs in case alone.
    private static func spelling(of name: String, in db: Database) throws -> String? {
        let holders = try UserTable.holders(of: name, in: db)
        return holders.first { SQLiteValue.string($0) == .string(name) } ?? (holders.count == 1 ? holders.first : nil)
    }

    /// Ends a user's sessions as a program does, for the reason `admin`.
    private static func endSessions(of username: String, in db: Database) throws -> Int {
        guard try db.tableExists("user_sessions") else { return 0 }
        try db.execute(
            sql: """
                UPDATE user_sessions SET isActive = 0, invalidatedAt = \(UserTable.now), endReason = 'admin'
                WHERE userId = (SELECT id FROM users WHERE username = ?) AND \(WrittenForms.isOn("isActive", ifNull: false))
                """,
            arguments: [username]
        )
        return db.changesCount
    }

    /// Returns all users in the order of their names.
    ///
    /// - Throws: ``StoreError``.
    package func rows() throws -> [Row] {
        try self.open { queue in
            try queue.read { db in
                try GRDB.Row.fetchAll(
                    db,
                    sql: """
                        SELECT CASE typeof(id) WHEN 'blob' THEN 'x''' || lower(hex(id)) || '''' ELSE CAST(id AS TEXT) END,
                            CAST(username AS TEXT), CAST(role AS TEXT), CAST(fullName AS TEXT),
                            \(UserTable.isActive),
                            CASE typeof(password) WHEN 'text' THEN substr(password, 1, 1024) END
                        FROM users ORDER BY username, id
                        """
                ).map { row in
                    Row(
                        id: row[0] ?? "",
                        username: row[1] ?? "",
                        role: row[2] ?? "",
                        fullName: row[3] ?? "",
                        isActive: row[4] ?? false,
                        passwordHash: row[5]
                    )
                }
            }
        }
    }

    private func write<Result>(_ body: (Database) throws -> Result) throws -> Result {
        try self.open { queue in
            var result: Result?
            try queue.writeWithoutTransaction { db in
                try db.inTransaction(.immediate) {
                    result = try body(db)
                    return .commit
                }
            }
            guard let result else { throw StoreError.missing }
            return result
        }
    }

    private func open<Result>(_ body: (DatabaseQueue) throws -> Result) throws -> Result {
        guard FileManager.default.fileExists(atPath: self.path) else { throw StoreError.missing }
        var configuration = Configuration()
        configuration.foreignKeysEnabled = true
        configuration.busyMode = .timeout(UserTable.busyTimeoutSeconds)
        return try StoreError.mapping {
            let queue = try DatabaseQueue(path: self.path, configuration: configuration)
            defer { _ = Swift.Result { try queue.close() } }
            return try body(queue)
        }
    }
}
