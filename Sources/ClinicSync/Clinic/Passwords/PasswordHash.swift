import Foundation

/// Makes and checks the stored hash of a password.
///
/// Each operation takes at least a tenth of a second and 32 MiB. Never call them on an event loop or in the cooperative
/// pool.
package enum PasswordHash {
    /// The smallest number of characters of a new password.
    package static let charactersMin = 8
    /// The largest size of a password in bytes.
    package static let bytesMax = 1_024
    /// The largest examined size of a stored hash in bytes.
    private static let storedBytesMax = 512

    /// The outcome of a check.
    package enum Check: Sendable, Hashable {
        /// The password is correct.
        ///
        /// If `isWeak`, replace the hash with the result of ``make(_:parameters:)``.
        case matches(isWeak: Bool)
        /// The password is wrong.
        case differs
        /// The stored text is not a supported hash: plain text, MD5, or a program's own form.
        case unsupported
    }

    /// Hashes a new password.
    ///
    /// - Throws: ``ClinicRefusal`` of kind `usage` when the password is too short or too long; the library's error when
    ///   memory is insufficient.
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

    /// Hashes an accepted password again, regardless of its length.
    ///
    /// - Throws: the library's error when memory is short.
    static func renew(_ password: String, parameters: ScryptParameters) throws -> String? {
        guard let bytes = self.bytes(password) else { return nil }
        return try ScryptHash(of: bytes, parameters: parameters).description
    }

    /// Compares a password with a stored hash.
    ///
    /// - Parameters:
    ///   - password: the typed password; an empty password is never correct.
    ///   - stored: the value of `users.password`.
    ///   - parameters: the parameters of new hashes; the caller should replace weaker hashes.
    /// - Returns: The result of the comparison.
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
        // Programs hash the typed bytes without normalisation.
        guard !password.isEmpty, password.utf8.count <= self.bytesMax else { return .differs }
        switch hash.matches(Array(password.utf8)) {
        case true: return .matches(isWeak: true)
        case false: return .differs
        default: return .unsupported
        }
    }

    /// Returns the kind of a stored password: `scrypt`, `bcrypt`, `none`, or `unusable` when an administrator must set
    /// it again.
    static func kind(of stored: String) -> String {
        if stored.isEmpty { return "none" }
        guard stored.utf8.count <= self.storedBytesMax else { return "unusable" }
        if ScryptHash(stored) != nil { return "scrypt" }
        return BcryptHash(stored) == nil ? "unusable" : "bcrypt"
    }

    /// Works as long as a check of a new hash, for users who do not exist, so that the duration reveals nothing.
    ///
    /// - Throws: the library's error when memory is short.
    static func pretend(_ password: String, parameters: ScryptParameters) throws {
        let bytes = self.bytes(password) ?? [0]
        _ = try parameters.derive(bytes, salt: [UInt8](repeating: 0, count: 16), count: 32)
    }

    /// Returns the bytes to hash: the password in composed form (NFC).
    ///
    /// RFC 8265 requires this form, because keyboards produce accents in different ways.
    private static func bytes(_ password: String) -> [UInt8]? {
        guard !password.isEmpty, password.utf8.count <= self.bytesMax else { return nil }
        let bytes = Array(password.precomposedStringWithCanonicalMapping.utf8)
        return bytes.count <= self.bytesMax ? bytes : nil
    }
}
