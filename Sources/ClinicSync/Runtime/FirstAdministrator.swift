/// The first user of a new clinic, who may create the other users.
public struct FirstAdministrator: Sendable, Hashable {
    /// The name by which the administrator logs in.
    public var username: String
    /// The password; the node keeps only its hash.
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

    /// The default name.
    package static let defaultUsername = "admin"

    /// Makes a password of 79 random bits in four groups, without ambiguous letters and digits.
    package static func makePassword() -> String {
        let letters = Array("abcdefghjkmnpqrstuvwxyz23456789")
        var generator = SystemRandomNumberGenerator()
        let groups = (0..<4).map { _ in
            String((0..<4).map { _ in letters[Int.random(in: letters.indices, using: &generator)] })
        }
        return groups.joined(separator: "-")
    }
}
