package import ClinicSyncStorage
import Foundation

/// The first user of a new clinic, who may make the others.
public struct FirstAdministrator: Sendable, Hashable {
    /// The name by which the administrator logs in.
    public var username: String
    /// The password, of which only a hash is kept.
    public var password: String

    /// Makes the first user.
    ///
    /// - Parameters:
    ///   - username: 1 to 64 bytes without control characters.
    ///   - password: at least 8 characters; there is no default.
    public init(username: String, password: String) {
        self.username = username
        self.password = password
    }

    /// The name unless another was chosen.
    package static let defaultUsername = "admin"

    /// Makes a password of 79 random bits in four groups, without letters and digits that look alike.
    package static func makePassword() -> String {
        let letters = Array("abcdefghjkmnpqrstuvwxyz23456789")
        var generator = SystemRandomNumberGenerator()
        let groups = (0..<4).map { _ in
            String((0..<4).map { _ in letters[Int.random(in: letters.indices, using: &generator)] })
        }
        return groups.joined(separator: "-")
    }
}

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
    /// - Throws: ``ClinicSyncError``: `usage` for a name or password that cannot be one, `refused` when the name is taken,
    ///   `storage`.
    @discardableResult
    package func add(username: String, role: UserRole, fullName: String?, password: String) throws -> String {
        try UserAdministration.check(username: username)
        if let fullName { try UserAdministration.check(fullName: fullName) }
        let hash = try PasswordHash.make(password)
        let row = UserTable.NewRow(username: username, role: role, fullName: fullName, passwordHash: hash)
        let id = try StorageErrors.mapping { try self.table.add(row) }
        guard let id else { throw UserAdministration.taken(username) }
        return id
    }

    /// Gives a user another password.
    ///
    /// - Throws: ``ClinicSyncError``: `usage` for what can be no password, `refused` when there is no such user, `storage`.
    package func setPassword(_ password: String, of username: String) throws {
        let hash = try PasswordHash.make(password)
        guard try StorageErrors.mapping({ try self.table.setPasswordHash(hash, of: username) }) else {
            throw UserAdministration.unknown(username)
        }
    }

    /// Makes sure that there is a user of that name, before anybody types a password.
    ///
    /// - Throws: ``ClinicSyncError``: `refused` when there is none, `storage`.
    package func requireUser(_ username: String) throws {
        guard try self.users().contains(where: { $0.username == username }) else {
            throw UserAdministration.unknown(username)
        }
    }

    /// Makes sure that there is no user of that name, before anybody types a password.
    ///
    /// - Throws: ``ClinicSyncError``: `refused` when there is one, `storage`.
    package func requireNoUser(_ username: String) throws {
        guard try !self.users().contains(where: { $0.username == username }) else {
            throw UserAdministration.taken(username)
        }
    }

    /// Makes sure that a text can be a user's name.
    ///
    /// - Throws: ``ClinicSyncError`` of code `usage` when it cannot.
    package static func check(username: String) throws {
        let isTrimmed = username.trimmingCharacters(in: .whitespaces) == username
        guard NodeSetup.isName(username), isTrimmed else {
            throw ClinicSyncError(
                .usage,
                "A user name has 1 to \(NodeSetup.nameBytesMax) bytes, no control characters and no spaces around it: "
                    + "choose another."
            )
        }
    }

    /// All users in the order of their names.
    ///
    /// - Throws: ``ClinicSyncError`` of code `storage`.
    package func users() throws -> [User] {
        try StorageErrors.mapping { try self.table.rows() }.map { row in
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

    private static func taken(_ username: String) -> ClinicSyncError {
        ClinicSyncError(
            .refused,
            "There is a user \"\(username)\" already: choose another name, or use clinic-node users passwd."
        )
    }

    private static func unknown(_ username: String) -> ClinicSyncError {
        ClinicSyncError(.refused, "There is no user \"\(username)\": clinic-node users lists all.")
    }

    private static func check(fullName: String) throws {
        let isPrintable = fullName.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
        guard isPrintable, fullName.utf8.count <= 256 else {
            throw ClinicSyncError(
                .usage,
                "A full name has at most 256 bytes and no control characters: choose another."
            )
        }
    }
}
