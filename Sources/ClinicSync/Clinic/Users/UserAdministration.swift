import ClinicSyncModel

/// What `clinic-node users` does with the users of a clinic, whether the node runs or not.
package struct UserAdministration: Sendable {
    /// A user as people see it.
    package struct User: Sendable, Hashable, Codable {
        /// The row's key.
        package var id: String
        /// The name by which the user logs in.
        package var username: String
        /// What the user is.
        package var role: String
        /// The name of the person.
        package var fullName: String
        /// Whether the user may log in.
        package var active: Bool
        /// How the password is kept: `scrypt`, `bcrypt`, `none`, or `unusable` when it must be set anew.
        package var password: String
    }

    private let table: UserTable

    /// The users in the database at `path`.
    package init(path: String) { self.table = UserTable(path: path) }

    /// Adds a user.
    ///
    /// Takes a tenth of a second and more, for the hash.
    ///
    /// - Parameters:
    ///   - username: 1 to 64 bytes without control characters.
    ///   - role: what the user is.
    ///   - fullName: the name of the person.
    ///   - password: at least 8 characters.
    /// - Returns: The row's key.
    /// - Throws: ``ClinicRefusal``: `usage` for a name or password that cannot be one, `refused` when the name is taken;
    ///   ``StoreError``.
    @discardableResult
    package func add(username: String, role: UserRole, fullName: String?, password: String) throws -> String {
        try UserAdministration.check(username: username)
        if let fullName { try UserAdministration.check(fullName: fullName) }
        let hash = try PasswordHash.make(password)
        let row = UserTable.NewRow(username: username, role: role, fullName: fullName, passwordHash: hash)
        let id = try self.table.add(row)
        guard let id else { throw UserAdministration.taken(username) }
        return id
    }

    /// Gives a user another password.
    ///
    /// - Throws: ``ClinicRefusal``: `usage` for what can be no password, `refused` when there is no such user; ``StoreError``.
    package func setPassword(_ password: String, of username: String) throws {
        let hash = try PasswordHash.make(password)
        guard try self.table.setPasswordHash(hash, of: username) else {
            throw UserAdministration.unknown(username)
        }
    }

    /// Makes sure that there is a user of that name, before anybody types a password.
    ///
    /// - Throws: ``ClinicRefusal``: `refused` when there is none; ``StoreError``.
    package func requireUser(_ username: String) throws {
        guard try self.users().contains(where: { $0.username == username }) else {
            throw UserAdministration.unknown(username)
        }
    }

    /// Makes sure that there is no user of that name, before anybody types a password.
    ///
    /// - Throws: ``ClinicRefusal``: `refused` when there is one; ``StoreError``.
    package func requireNoUser(_ username: String) throws {
        guard try !self.users().contains(where: { $0.username == username }) else {
            throw UserAdministration.taken(username)
        }
    }

    /// Makes sure that a text can be a user's name.
    ///
    /// - Throws: ``ClinicRefusal`` of kind `usage` when it cannot.
    package static func check(username: String) throws {
        guard DisplayName.isName(username), DisplayName.isTrimmed(username) else {
            throw ClinicRefusal(
                .usage,
                "A user name has 1 to \(DisplayName.bytesMax) bytes, no control characters and no spaces around it: "
                    + "choose another."
            )
        }
    }

    /// All users in the order of their names.
    ///
    /// - Throws: ``StoreError``.
    package func users() throws -> [User] {
        try self.table.rows().map { row in
            User(
                id: row.id,
                username: row.username,
                role: row.role,
                fullName: row.fullName,
                active: row.isActive,
                password: row.passwordHash.map(PasswordHash.kind(of:)) ?? "none"
            )
        }
    }

    private static func taken(_ username: String) -> ClinicRefusal {
        ClinicRefusal(
            .refused,
            "There is a user \"\(username)\" already: choose another name, or use clinic-node users passwd."
        )
    }

    private static func unknown(_ username: String) -> ClinicRefusal {
        ClinicRefusal(.refused, "There is no user \"\(username)\": clinic-node users lists all.")
    }

    private static func check(fullName: String) throws {
        let isPrintable = fullName.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
        guard isPrintable, fullName.utf8.count <= 256 else {
            throw ClinicRefusal(
                .usage,
                "A full name has at most 256 bytes and no control characters: choose another."
            )
        }
    }
}
