import CCrypt
import ClinicSyncModel

/// A bcrypt hash that a clinic's program made: `$2b$12$` with 22 characters of salt and 31 of hash.
///
/// The node only verifies such hashes, with the system's crypt(3); new hashes are ``ScryptHash``. As always with
/// bcrypt, bytes after the 72nd byte of a password do not count.
struct BcryptHash: Sendable, Hashable {
    /// The accepted costs.
    ///
    /// A limit is necessary, because cost 15 takes some seconds and any program can write the row.
    static let acceptedCosts = 4...15

    private static let methods: Set<Substring> = ["2a", "2b", "2y"]
    private static let count = 60

    private let text: String

    /// Reads a stored hash; `nil` when the text is not a hash or its cost is outside ``acceptedCosts``.
    init?(_ text: String) {
        let fields = text.split(separator: "$", omittingEmptySubsequences: false)
        guard text.utf8.count == BcryptHash.count, fields.count == 4, fields[0].isEmpty,
            BcryptHash.methods.contains(fields[1]), fields[2].utf8.count == 2, let cost = Int(fields[2]),
            BcryptHash.acceptedCosts.contains(cost), fields[3].utf8.allSatisfy(BcryptHash.isDigit)
        else { return nil }
        self.text = text
    }

    /// Returns whether the password matches the hash.
    ///
    /// - Returns: `nil` when the system's library does not know bcrypt.
    func matches(_ password: [UInt8]) -> Bool? {
        // A C string ends at the first zero, so the bytes after it would not count.
        guard !password.isEmpty, !password.contains(0) else { return false }
        var output = [CChar](repeating: 0, count: BcryptHash.count + 1)
        let phrase = (password + [0]).map { CChar(bitPattern: $0) }
        guard clinicsync_crypt(phrase, self.text, &output, output.count) == 0 else { return nil }
        return ConstantTime.equal(output.dropLast().map { UInt8(bitPattern: $0) }, Array(self.text.utf8))
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "/"):
            true
        default: false
        }
    }
}
