import ClinicSyncModel
import Crypto
import CryptoExtras
import Foundation

/// The parameters of scrypt, which make a guess at a password expensive (RFC 7914, section 2).
package struct ScryptParameters: Sendable, Hashable {
    /// The logarithm of the cost: memory is 128 · r · 2^ln bytes.
    package var logCost: Int
    /// The block size, `r`.
    package var blockSize: Int
    /// How many passes are made, `p`.
    package var passes: Int

    /// Makes parameters.
    package init(logCost: Int, blockSize: Int, passes: Int) {
        self.logCost = logCost
        self.blockSize = blockSize
        self.passes = passes
    }

    /// The parameters of new hashes: 32 MiB and three passes.
    ///
    /// OWASP's Password Storage Cheat Sheet lists them among those of equal strength; of these, they take the least memory that a PC
    /// with 2 GB does not notice.
    package static let standard = ScryptParameters(logCost: 15, blockSize: 8, passes: 3)

    /// The limits for parameters that a row asks for: at most 256 MiB, since any program can write the row.
    static let accepted = (logCost: 1...17, blockSize: 1...16, passes: 1...4)

    /// Whether they are within the limits.
    var isAcceptable: Bool {
        ScryptParameters.accepted.logCost.contains(self.logCost)
            && ScryptParameters.accepted.blockSize.contains(self.blockSize)
            && ScryptParameters.accepted.passes.contains(self.passes)
            // RFC 7914, section 2: N is less than 2 to the power of 128 r / 8.
            && self.logCost < 16 * self.blockSize
    }

    /// Whether a guess costs at least as much memory and as much work as with `other`.
    func isAtLeast(_ other: ScryptParameters) -> Bool {
        let memory = self.blockSize << self.logCost
        let otherMemory = other.blockSize << other.logCost
        return memory >= otherMemory && memory * self.passes >= otherMemory * other.passes
    }

    /// Derives `count` bytes from a password.
    ///
    /// - Throws: the library's error when it has not enough memory.
    func derive(_ password: [UInt8], salt: [UInt8], count: Int) throws -> [UInt8] {
        precondition(!password.isEmpty && !salt.isEmpty, "the library takes no empty password or salt")
        let key = try KDF.Scrypt.deriveKey(
            from: password,
            salt: salt,
            outputByteCount: count,
            rounds: 1 << self.logCost,
            blockSize: self.blockSize,
            parallelism: self.passes
        )
        return key.withUnsafeBytes { Array($0) }
    }
}

/// A password's hash in the PHC string format: `$scrypt$ln=15,r=8,p=3$salt$hash`, base64 without padding.
struct ScryptHash: Sendable, Hashable, CustomStringConvertible {
    /// The parameters with which it was made.
    let parameters: ScryptParameters
    /// The salt, which makes the hashes of equal passwords differ.
    let salt: [UInt8]
    /// The derived key.
    let hash: [UInt8]

    private static let prefix = "$scrypt$"
    private static let saltBytes = 16
    private static let hashBytes = 32
    /// Sizes in rows that are looked at.
    private static let acceptedBytes = 8...64

    /// Hashes a password with a salt of its own.
    ///
    /// - Throws: the library's error when it has not enough memory.
    init(of password: [UInt8], parameters: ScryptParameters) throws {
        var generator = SystemRandomNumberGenerator()
        self.parameters = parameters
        self.salt = [UInt8](count: ScryptHash.saltBytes, using: &generator)
        self.hash = try parameters.derive(password, salt: self.salt, count: ScryptHash.hashBytes)
    }

    /// Reads a stored hash; `nil` when it is none, or asks for more than the limits.
    init?(_ text: String) {
        let fields = text.split(separator: "$", omittingEmptySubsequences: false)
        guard text.hasPrefix(ScryptHash.prefix), fields.count == 5,
            let parameters = ScryptHash.parameters(fields[2]), parameters.isAcceptable,
            let salt = ScryptHash.bytes(fields[3]), ScryptHash.acceptedBytes.contains(salt.count),
            let hash = ScryptHash.bytes(fields[4]), ScryptHash.acceptedBytes.contains(hash.count)
        else { return nil }
        self.parameters = parameters
        self.salt = salt
        self.hash = hash
    }

    /// The text that is stored.
    var description: String {
        let parameters = self.parameters
        return ScryptHash.prefix + "ln=\(parameters.logCost),r=\(parameters.blockSize),p=\(parameters.passes)"
            + "$\(ScryptHash.text(self.salt))$\(ScryptHash.text(self.hash))"
    }

    /// Whether the password is the one that was hashed; takes as long when it is not.
    ///
    /// - Throws: the library's error when it has not enough memory.
    func matches(_ password: [UInt8]) throws -> Bool {
        let derived = try self.parameters.derive(password, salt: self.salt, count: self.hash.count)
        return ConstantTime.equal(derived, self.hash)
    }

    private static func parameters(_ field: Substring) -> ScryptParameters? {
        let values = field.split(separator: ",", omittingEmptySubsequences: false)
        let names = ["ln=", "r=", "p="]
        guard values.count == names.count else { return nil }
        var numbers: [Int] = []
        for (value, name) in zip(values, names) {
            // At most three digits, and as they would be written here: one hash has one text.
            guard value.hasPrefix(name), let number = Int(value.dropFirst(name.count)), number < 1_000,
                String(number) == value.dropFirst(name.count)
            else { return nil }
            numbers.append(number)
        }
        return ScryptParameters(logCost: numbers[0], blockSize: numbers[1], passes: numbers[2])
    }

    private static func text(_ bytes: [UInt8]) -> String {
        String(Data(bytes).base64EncodedString().prefix { $0 != "=" })
    }

    private static func bytes(_ field: Substring) -> [UInt8]? {
        let padding = String(repeating: "=", count: (4 - field.utf8.count % 4) % 4)
        guard let data = Data(base64Encoded: field + padding) else { return nil }
        let bytes = Array(data)
        return ScryptHash.text(bytes) == field ? bytes : nil
    }
}
