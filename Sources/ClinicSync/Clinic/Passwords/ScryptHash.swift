import ClinicSyncModel
import Crypto
import CryptoExtras
import Foundation

/// The parameters of scrypt, which make a guess at a password expensive (RFC 7914, section 2).
package struct ScryptParameters: Sendable, Hashable {
    /// The logarithm of the cost.
    ///
    /// The memory is 128 · r · 2^ln bytes.
    package var logCost: Int
    /// The block size, `r`.
    package var blockSize: Int
    /// The number of passes, `p`.
    package var passes: Int

    /// Makes parameters.
    package init(logCost: Int, blockSize: Int, passes: Int) {
        self.logCost = logCost
        self.blockSize = blockSize
        self.passes = passes
    }

    /// The parameters of new hashes: 32 MiB and three passes.
    ///
    /// OWASP's Password Storage Cheat Sheet lists several sets of equal strength. This set uses little enough memory
    /// that a PC with 2 GB does not notice it.
    package static let standard = ScryptParameters(logCost: 15, blockSize: 8, passes: 3)

    /// The limits for parameters in a row: at most 256 MiB, because any program can write the row.
    static let accepted = (logCost: 1...17, blockSize: 1...16, passes: 1...4)

    /// Whether the parameters are within the limits.
    var isAcceptable: Bool {
        ScryptParameters.accepted.logCost.contains(self.logCost)
            && ScryptParameters.accepted.blockSize.contains(self.blockSize)
            && ScryptParameters.accepted.passes.contains(self.passes)
            // RFC 7914, section 2: N is less than 2 to the power of 128 r / 8.
            && self.logCost < 16 * self.blockSize
    }

    /// Returns whether a guess costs at least as much memory and work as with `other`.
    func isAtLeast(_ other: ScryptParameters) -> Bool {
        let memory = self.blockSize << self.logCost
        let otherMemory = other.blockSize << other.logCost
        return memory >= otherMemory && memory * self.passes >= otherMemory * other.passes
    }

    /// Derives `count` bytes from a password.
    ///
    /// - Throws: the library's error when memory is insufficient.
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
    /// The parameters that were used for the hash.
    let parameters: ScryptParameters
    /// The salt, which gives equal passwords different hashes.
    let salt: [UInt8]
    /// The derived key.
    let hash: [UInt8]

    private static let prefix = "$scrypt$"
    private static let saltBytes = 16
    private static let hashBytes = 32
    /// The accepted sizes of salts and hashes in rows.
    private static let acceptedBytes = 8...64

    /// Hashes a password with a new salt.
    ///
    /// - Throws: the library's error when memory is insufficient.
    init(of password: [UInt8], parameters: ScryptParameters) throws {
        var generator = SystemRandomNumberGenerator()
        self.parameters = parameters
        self.salt = [UInt8](count: ScryptHash.saltBytes, using: &generator)
        self.hash = try parameters.derive(password, salt: self.salt, count: ScryptHash.hashBytes)
    }

    /// Reads a stored hash; `nil` when the text is not a hash or its parameters exceed the limits.
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

    /// The stored text.
    var description: String {
        let parameters = self.parameters
        return ScryptHash.prefix + "ln=\(parameters.logCost),r=\(parameters.blockSize),p=\(parameters.passes)"
            + "$\(ScryptHash.text(self.salt))$\(ScryptHash.text(self.hash))"
    }

    /// Returns whether the password matches the hash.
    ///
    /// The check takes the same time for a wrong password.
    ///
    /// - Throws: the library's error when memory is insufficient.
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
            // The number has at most three digits, in the form that this program writes, so that each hash has exactly
            // one text.
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
