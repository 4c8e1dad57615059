import Foundation

/// Makes and checks the stored hash of a password.
///
/// Both take a tenth of a second and more, and 32 MiB: never call them on an event loop or in the cooperative pool.
package enum PasswordHash {
    /// Characters of a new password at least.
    package static let charactersMin = 8
    /// Bytes of a password at most.
    package static let bytesMax = 1_024
    /// Bytes of a stored hash that are looked at.
    private static let storedBytesMax = 512

    /// The outcome of a check.
    package enum Check: Sendable, Hashable {
        /// The password is right; when `isWeak`, replace the hash with one of ``make(_:parameters:)``.
        case matches(isWeak: Bool)
        /// It is another one.
        case differs
        /// The stored text is no hash that can be checked: plain text, MD5, or a program's own form.
        case unsupported
    }

    /// Hashes a new password.
    ///
    /// - Throws: ``ClinicRefusal`` of kind `usage` when it is too short or too long; the library's error when memory is short.
    package static func make(_ password: String, parameters: ScryptParameters = .standard) throws -> String {
        guard password.count >= self.charactersMin else {
            throw ClinicRefusal(
                .usage,
                "A password has at least \(self.charactersMin) characters: choose a longer one."
            )
        }
        guard let bytes = self.bytes(password) else {
            throw ClinicRefusal(.usage, "A password has at most \(self.bytesMax) bytes: choose a shorter one.")
        }
        return try ScryptHash(of: bytes, parameters: parameters).description
    }

    /// Hashes a password again that was just accepted, whatever its length.
    ///
    /// - Throws: the library's error when memory is short.
    static func renew(_ password: String, parameters: ScryptParameters) throws -> String? {
        guard let bytes = self.bytes(password) else { return nil }
        return try ScryptHash(of: bytes, parameters: parameters).description
    }

    /// Compares a password with what is stored.
    ///
    /// - Parameters:
    ///   - password: what was typed; an empty one is never right.
    ///   - stored: the value of `users.password`.
    ///   - parameters: those of new hashes; weaker hashes should be replaced.
    /// - Returns: What came of it.
    /// - Throws: the library's error when memory is short.
    package static func check(
        _ password: String,
        against stored: String,
        parameters: ScryptParameters = .standard
    ) throws -> Check {
        guard stored.utf8.count <= self.storedBytesMax else { return .unsupported }
        if let hash = ScryptHash(stored) {
            guard let bytes = self.bytes(password) else {
                try self.pretend(password, parameters: parameters)
                return .differs
            }
            guard try hash.matches(bytes) else { return .differs }
            return .matches(isWeak: !hash.parameters.isAtLeast(parameters))
        }
        guard let hash = BcryptHash(stored) else { return .unsupported }
        // Programs hash what they are given: bytes as they were typed, not normalised.
        guard !password.isEmpty, password.utf8.count <= self.bytesMax else { return .differs }
        switch hash.matches(Array(password.utf8)) {
        case true: return .matches(isWeak: true)
        case false: return .differs
        default: return .unsupported
        }
    }

    /// The kind of a stored password: `scrypt`, `bcrypt`, `none`, or `unusable` when it must be set again.
    static func kind(of stored: String) -> String {
        if stored.isEmpty { return "none" }
        guard stored.utf8.count <= self.storedBytesMax else { return "unusable" }
        if ScryptHash(stored) != nil { return "scrypt" }
        return BcryptHash(stored) == nil ? "unusable" : "bcrypt"
    }

    /// Works as long as a check of a new hash does; for users who do not exist, so that time tells nothing.
    ///
    /// - Throws: the library's error when memory is short.
    static func pretend(_ password: String, parameters: ScryptParameters) throws {
        let bytes = self.bytes(password) ?? [0]
        _ = try parameters.derive(bytes, salt: [UInt8](repeating: 0, count: 16), count: 32)
    }

    /// The bytes that are hashed: composed (NFC), as RFC 8265 wants it, because keyboards differ in how they make an accent.
    private static func bytes(_ password: String) -> [UInt8]? {
        guard !password.isEmpty, password.utf8.count <= self.bytesMax else { return nil }
        let bytes = Array(password.precomposedStringWithCanonicalMapping.utf8)
        return bytes.count <= self.bytesMax ? bytes : nil
    }
}
