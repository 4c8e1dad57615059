import ClinicSyncModel

/// The operations of `clinic-node users` on the users of a clinic, whether the node runs or not.
package struct UserAdministration: Sendable {
    /// A user as people see it.
    package struct User: Sendable, Hashable, Codable {
        /// The row's key.
        package var id: String
        /// The name by which the user logs in.
        package var username: String
        /// The user's role.
        package var role: String
        /// The name of the person.
        package var fullName: String
        /// Whether the user may log in.
        package var active: Bool
        /// The form of the stored password: `scrypt`, `bcrypt`, `none`, or `unusable` when an administrator must set it
        /// again.
        package var password: String
    }

    private let table: UserTable

    /// Opens the users in the database at `path`.
    package init(path: String) { self.table = UserTable(path: path) }

    /// Adds a user.
    ///
    /// The method takes at least a tenth of a second, for the hash.
    ///
    /// - Parameters:
    ///   - username: 1 to 64 bytes without control characters.
    ///   - role: the user's role.
    ///   - fullName: the name of the person.
    ///   - password: at least 8 characters.
    /// - Returns: The row's key.
    /// - Throws: ``ClinicRefusal``: `usage` for an invalid name or password, `refused` when the name is taken;
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

    /// Gives a user another password, and ends the user's sessions.
    ///
    /// - Returns: The number of ended sessions.
    /// - Throws: ``ClinicRefusal``: `usage` for an invalid password, `refused` when the user does not exist;
    ///   ``StoreError``.
    @discardableResult
    package func setPassword(_ password: String, of username: String) throws -> Int {
        let hash = try PasswordHash.make(password)
        guard let ended = try self.table.setPasswordHash(hash, of: username) else {
            throw UserAdministration.unknown(username)
        }
        return ended
    }

    /// Gives a user another name; the user's sessions go on.
    ///
    /// - Throws: ``ClinicRefusal``: `usage` for an invalid name, `refused` when the user does not exist or the name is taken;
    ///   ``StoreError``.
    package func rename(_ username: String, to name: String) throws {
        try UserAdministration.check(username: name)
        _ = try UserAdministration.endedSessions(try self.table.rename(username, to: name), username, name)
    }

    /// Lets a user log in, or not any more, which also ends the user's sessions.
    ///
    /// - Returns: The number of ended sessions.
    /// - Throws: ``ClinicRefusal``: `refused` when the user does not exist, or is the only active administrator;
    ///   ``StoreError``.
    @discardableResult
    package func setActive(_ isActive: Bool, _ username: String) throws -> Int {
        try UserAdministration.endedSessions(try self.table.setActive(isActive, username), username, username)
    }

    private static func endedSessions(_ change: UserTable.Change, _ username: String, _ name: String) throws -> Int {
        switch change {
        case .made(let sessions): return sessions
        case .unknown: throw UserAdministration.unknown(username)
        case .taken: throw UserAdministration.taken(name)
        case .lastAdministrator:
            throw ClinicRefusal(
                .refused,
                "\"\(username)\" is the only active administrator: add another one first with clinic-node users add."
            )
        }
    }

    /// Makes sure that a user with that name exists, before a person types a password.
    ///
    /// - Throws: ``ClinicRefusal``: `refused` when no such user exists; ``StoreError``.
    package func requireUser(_ username: String) throws {
        guard try self.users().contains(where: { UserName.isSame($0.username, username) }) else {
            throw UserAdministration.unknown(username)
        }
    }

    /// Makes sure that no user with that name exists, in whatever case, before a person types a password.
    ///
    /// - Throws: ``ClinicRefusal``: `refused` when such a user exists; ``StoreError``.
    package func requireNoUser(_ username: String) throws {
        guard try !self.users().contains(where: { UserName.isSame($0.username, username) }) else {
            throw UserAdministration.taken(username)
        }
    }

    /// Makes sure that a text is a valid user name.
    ///
    /// - Throws: ``ClinicRefusal`` of kind `usage` when it is not valid.
    package static func check(username: String) throws {
        guard DisplayName.isName(username), DisplayName.isTrimmed(username) else {
            throw ClinicRefusal(
                .usage,
                "A user name has 1 to \(DisplayName.bytesMax) bytes, no control characters and no spaces around it: "
                    + "choose another."
            )
        }
    }

    /// Returns all users in the order of their names.
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
