package import ClinicSyncModel

/// The code that a person types or pastes on a new PC to make it a member.
///
/// The code contains the addresses of the host, the pin of the clinic's authority, and a one-time secret. The text form
/// is Crockford base 32 in groups of five characters. It ends with six check digits (the BCH code of BIP 350), which
/// detect every error of up to three characters before the PC sends anything. Letters may be upper or lower case. The
/// reader ignores hyphens and spaces, and accepts O for 0 and I or L for 1.
package struct JoinCode: Sendable, Hashable, CustomStringConvertible {
    /// Bytes of the secret.
    package static let secretBytes = 16
    /// Addresses in a code at most.
    package static let addressesMax = 4

    /// The id of the key of the clinic's authority.
    ///
    /// A host without a certificate of this authority does not belong to the clinic.
    package let pin: NodeID
    /// The one-time secret.
    package let secret: [UInt8]
    /// The addresses of the host, in the order in which a new PC tries them.
    package let addresses: [NetworkAddress]

    /// Format 1 contained the host's id instead of the pin.
    private static let format: UInt8 = 2
    private static let checkDigits = 6
    private static let charactersMax = 1_000

    /// Makes a code and omits addresses beyond ``addressesMax``.
    ///
    /// - Precondition: The secret has ``secretBytes`` bytes.
    package init(pin: NodeID, secret: [UInt8], addresses: [NetworkAddress]) {
        precondition(secret.count == JoinCode.secretBytes, "a secret has 16 bytes")
        self.pin = pin
        self.secret = secret
        self.addresses = Array(addresses.prefix(JoinCode.addressesMax))
    }

    /// Reads the text form.
    ///
    /// - Throws: ``ClinicSyncError`` of code `usage`.
    package init(parsing text: String) throws {
        let digits = try JoinCode.digits(of: text)
        guard digits.count > JoinCode.checkDigits, JoinCode.checksum(digits) == JoinCode.checkConstant else {
            throw ClinicSyncError(.usage, "The join code has a typing error: compare it with the original.")
        }
        var bytes = Base32.bytes(of: digits.dropLast(JoinCode.checkDigits))[...]
        guard bytes.first == JoinCode.format else {
            throw ClinicSyncError(
                .usage,
                "The join code was made by another version: install the same version on both PCs and make a new code."
            )
        }
        guard let code = JoinCode(reading: &bytes) else {
            throw ClinicSyncError(.usage, "The join code is damaged: make a new one with clinic-node invite.")
        }
        self = code
    }

    /// The text form in groups of five.
    package var description: String {
        var digits = Base32.digits(of: self.payload)
        let check =
            JoinCode.checksum(digits + [UInt8](repeating: 0, count: JoinCode.checkDigits)) ^ JoinCode.checkConstant
        for index in 0..<JoinCode.checkDigits {
            digits.append(UInt8(check >> UInt32(5 * (JoinCode.checkDigits - 1 - index)) & 31))
        }
        let characters = Base32.characters(of: digits, isUppercase: true)
        let groups = stride(from: 0, to: characters.count, by: 5).map { start in
            String(decoding: characters[start..<min(start + 5, characters.count)], as: UTF8.self)
        }
        return groups.joined(separator: "-")
    }

    // MARK: - Payload

    /// The payload contains format, pin, secret and count, then for each address: length, text, port.
    private var payload: [UInt8] {
        var bytes = [JoinCode.format] + self.pin.bytes + self.secret
        bytes.append(UInt8(self.addresses.count))
        for address in self.addresses {
            let host = JoinCode.packed(address.host)
            bytes.append(UInt8(host.count))
            bytes += host
            bytes.append(UInt8(truncatingIfNeeded: address.port >> 8))
            bytes.append(UInt8(truncatingIfNeeded: address.port))
        }
        return bytes
    }

    private init?(reading bytes: inout ArraySlice<UInt8>) {
        guard bytes.popFirst() == JoinCode.format,
            let pin = JoinCode.take(16, from: &bytes).flatMap({ NodeID(bytes: $0) }),
            let secret = JoinCode.take(JoinCode.secretBytes, from: &bytes),
            let count = bytes.popFirst(), count <= JoinCode.addressesMax
        else { return nil }
        var addresses = [NetworkAddress]()
        for _ in 0..<count {
            guard let length = bytes.popFirst(),
                let host = JoinCode.take(Int(length), from: &bytes),
                let port = JoinCode.take(2, from: &bytes),
                let name = JoinCode.unpacked(host)
            else { return nil }
            let text = NetworkAddress(host: name, port: Int(port[0]) << 8 | Int(port[1])).description
            guard let address = JoinCode.address(text) else { return nil }
            addresses.append(address)
        }
        // Base 32 pads the last byte with up to four zero bits, never with a whole byte.
        guard bytes.isEmpty else { return nil }
        self.init(pin: pin, secret: secret, addresses: addresses)
    }

    private static func address(_ text: String) -> NetworkAddress? {
        do { return try NetworkAddress(parsing: text) } catch { return nil }
    }

    /// Returns four bytes for an IPv4 address, and text for every other host.
    private static func packed(_ host: String) -> [UInt8] {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        let numbers = parts.compactMap { $0 }
        let isPlain = numbers.count == 4 && parts.count == 4 && numbers.map(String.init).joined(separator: ".") == host
        return isPlain ? numbers : [0] + Array(host.utf8)
    }

    private static func unpacked(_ bytes: [UInt8]) -> String? {
        if bytes.count == 4, bytes[0] != 0 { return bytes.map(String.init).joined(separator: ".") }
        guard bytes.first == 0, bytes.count > 1 else { return nil }
        return String(validating: bytes.dropFirst(), as: UTF8.self)
    }

    private static func take(_ count: Int, from bytes: inout ArraySlice<UInt8>) -> [UInt8]? {
        guard bytes.count >= count else { return nil }
        defer { bytes = bytes.dropFirst(count) }
        return Array(bytes.prefix(count))
    }

    // MARK: - Check digits

    private static func digits(of text: String) throws -> [UInt8] {
        var digits = [UInt8]()
        for scalar in text.unicodeScalars {
            if scalar == "-" || scalar.properties.isWhitespace { continue }
            guard let digit = Base32.typedDigit(scalar) else {
                throw ClinicSyncError(
                    .usage,
                    "The join code contains \"\(scalar)\", which no code does: copy it again."
                )
            }
            digits.append(digit)
            guard digits.count <= JoinCode.charactersMax else {
                throw ClinicSyncError(.usage, "The join code is too long: copy the code alone.")
            }
        }
        return digits
    }

    /// The constant of BIP 350.
    ///
    /// Unlike the constant 1, it detects digits inserted or dropped before a final 1.
    private static let checkConstant: UInt32 = 0x2bc8_30a3

    private static func checksum(_ digits: [UInt8]) -> UInt32 {
        let generators: [UInt32] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3]
        var sum: UInt32 = 1
        for digit in digits {
            let top = sum >> 25
            sum = (sum & 0x01ff_ffff) << 5 ^ UInt32(digit)
            for (bit, generator) in generators.enumerated() where top >> UInt32(bit) & 1 == 1 { sum ^= generator }
        }
        return sum
    }
}
