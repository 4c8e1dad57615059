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
