import ClinicSyncModel
package import ClinicSyncStorage

/// What of a user's row decides whether the user may log in.
package struct LoginAccount: Sendable, Hashable {
    /// The row's key.
    package var id: String
    /// The stored hash of the password; `nil` when the row has none, or not a text.
    package var passwordHash: String?
    /// Whether the user was not deactivated; an `isActive` that a program left out or set to NULL is its default, 1.
    package var isActive: Bool

    /// Makes an account.
    package init(id: String, passwordHash: String?, isActive: Bool) {
        self.id = id
        self.passwordHash = passwordHash
        self.isActive = isActive
    }
}

extension ReplicaReader {
    /// The account of a user name, compared byte by byte.
    ///
    /// - Throws: ``StoreError``.
    package func loginAccount(username: String) throws -> LoginAccount? {
        try self.read { connection in
            try connection
                .query(
                    """
                    SELECT id, CASE typeof(password) WHEN 'text' THEN password END, isActive IS NULL OR isActive IS 1
                    FROM users WHERE username = ?1
                    """
                )
                .bind(1, SQLiteValue.string(username))
                .first { row in
                    LoginAccount(
                        id: row.string(0),
                        passwordHash: row.isNull(1) ? nil : row.string(1),
                        isActive: row.int(2) != 0
                    )
                }
        }
    }

    /// The key of the user of that name, or else of that key.
    ///
    /// - Throws: ``StoreError``.
    package func userID(named name: String) throws -> String? {
        try self.read { connection in
            try connection
                .query("SELECT id FROM users WHERE username = ?1 OR id = ?1 ORDER BY username = ?1 DESC LIMIT 1")
                .bind(1, SQLiteValue.string(name))
                .first { $0.string(0) }
        }
    }
}

extension ReplicaWriter {
    /// Replaces a user's hash, as a program would, if it still is `old`: another program may have changed the password meanwhile.
    ///
    /// - Returns: Whether it was; post `localCommitNoticed` then.
    /// - Throws: ``StoreError``; nothing was written then.
    package func replacePasswordHash(ofUser id: String, _ old: String, by new: String) throws -> Bool {
        try self.write(.durable) { rows, transaction in
            try transaction.statement("UPDATE users SET password = ?3 WHERE id = ?1 AND password = ?2")
                .bind(1, SQLiteValue.string(id))
                .bind(2, SQLiteValue.string(old))
                .bind(3, SQLiteValue.string(new))
                .run()
            guard transaction.changes > 0 else { return .durable(false) }
            try rows.mark("users", key: .string(id), in: transaction)
            return .durable(true)
        }
    }
}
