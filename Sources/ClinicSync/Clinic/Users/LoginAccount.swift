package import ClinicSyncModel
package import ClinicSyncStorage

/// The parts of a user's row that decide whether the user may log in.
package struct LoginAccount: Sendable, Hashable {
    /// The row's key.
    package var id: SQLiteValue
    /// The stored hash of the password; `nil` when the row has none, or a value that is not text.
    package var passwordHash: String?
    /// Whether the user is not deactivated.
    ///
    /// A missing or NULL `isActive` counts as its default, 1.
    package var isActive: Bool

    /// Makes an account.
    package init(id: SQLiteValue, passwordHash: String?, isActive: Bool) {
        self.id = id
        self.passwordHash = passwordHash
        self.isActive = isActive
    }
}

extension LoginAccount {
    /// Returns the account of a user name, compared byte by byte.
    fileprivate static func of(_ username: String, on connection: Connection) throws -> LoginAccount? {
        try connection
            .query(
                """
                SELECT id, CASE typeof(password) WHEN 'text' THEN password END, \(UserTable.isActive)
                FROM users WHERE username = ?1
                """
            )
            .bind(1, SQLiteValue.string(username))
            .first { row in
                LoginAccount(
                    id: row.value(0),
                    passwordHash: row.isNull(1) ? nil : row.string(1),
                    isActive: row.int(2) != 0
                )
            }
    }

    /// Returns the name in the table that differs from `username` in case alone; `nil` when there are none or several.
    fileprivate static func spelling(of username: String, on connection: Connection) throws -> String? {
        var names: [String] = []
        try connection.query("SELECT username FROM users WHERE typeof(username) = 'text'").forEach { row in
            let name = row.string(0)
            if UserName.isSame(name, username) { names.append(name) }
        }
        return names.count == 1 ? names.first : nil
    }
}

extension ReplicaReader {
    /// Returns the account of a user name: the user of exactly that name, otherwise the only one whose name differs in case alone.
    ///
    /// - Throws: ``StoreError``.
    package func loginAccount(username: String) throws -> LoginAccount? {
        try self.read { connection in
            try LoginAccount.of(username, on: connection)
                ?? LoginAccount.spelling(of: username, on: connection).flatMap {
                    try LoginAccount.of($0, on: connection)
                }
        }
    }

    /// Returns the name of a user, as it is in the table; `nil` when there is no such user.
    ///
    /// - Throws: ``StoreError``.
    package func username(of id: SQLiteValue) throws -> String? {
        try self.read { connection in
            try connection.query("SELECT CAST(username AS TEXT) FROM users WHERE id = ?1").bind(1, id).first { row in
                row.isNull(0) ? nil : row.string(0)
            } ?? nil
        }
    }

    /// Returns the key of the user with that name, otherwise of the user whose key is shown as `name`.
    ///
    /// - Throws: ``StoreError``.
    package func userID(named name: String) throws -> SQLiteValue? {
        try self.read { connection in
            try connection
                .query(
                    """
                    SELECT id FROM users WHERE username = ?1 OR id = ?1 OR id = ?2
                    ORDER BY username IS ?1 DESC, id = ?1 DESC LIMIT 1
                    """
                )
                .bind(1, SQLiteValue.string(name))
                .bind(2, SQLiteValue.displayed(as: name).last ?? .null)
                .first { $0.value(0) }
        }
    }
}

extension ReplicaWriter {
    /// Replaces a user's hash, as a program would, if it is still `old`.
    ///
    /// The check is necessary because another program may have changed the password meanwhile.
    ///
    /// - Returns: Whether the method replaced the hash. If so, post `localCommitNoticed`.
    /// - Throws: ``StoreError``; then nothing was written.
    package func replacePasswordHash(ofUser id: SQLiteValue, _ old: String, by new: String) throws -> Bool {
        try self.write(.durable) { rows, transaction in
            try transaction.statement("UPDATE users SET password = ?3 WHERE id = ?1 AND password = ?2")
                .bind(1, id)
                .bind(2, SQLiteValue.string(old))
                .bind(3, SQLiteValue.string(new))
                .run()
            guard transaction.changes > 0 else { return .durable(false) }
            try rows.mark("users", key: id, in: transaction)
            return .durable(true)
        }
    }
}
