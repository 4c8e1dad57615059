/// Crockford's base 32: five bits a character, the most significant first, without the letters I, L, O and U.
///
/// Source: Douglas Crockford, "Base 32". Bytes whose bits do not fill the last digit are followed by zero bits.
package enum Base32 {
    private static let lowercase = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)
    /// The digits by the lower-case characters; 255 for all others.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for (digit, character) in Base32.lowercase.enumerated() { values[Int(character)] = UInt8(digit) }
        return values
    }()
    private static let uppercase = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    /// Returns the digits of `bytes`, each from 0 to 31.
    ///
    /// `leadingZeros` is the number of zero bits before the first byte: 2 make 16 bytes fill 26 digits exactly.
    package static func digits(of bytes: some Sequence<UInt8>, leadingZeros: Int = 0) -> [UInt8] {
        var digits = [UInt8]()
        Base32.forEachDigit(of: bytes, leadingZeros: leadingZeros) { digits.append($0) }
        return digits
    }

    /// Returns the text of `bytes` in lower case.
    package static func text(of bytes: UnsafeRawBufferPointer, leadingZeros: Int = 0) -> String {
        let alphabet = Base32.lowercase
        return String(unsafeUninitializedCapacity: (leadingZeros + bytes.count * 8 + 4) / 5) { text in
            var count = 0
            Base32.forEachDigit(of: bytes, leadingZeros: leadingZeros) { digit in
                text[count] = alphabet[Int(digit)]
                count += 1
            }
            return count
        }
    }

    private static func forEachDigit(
        of bytes: some Sequence<UInt8>,
        leadingZeros: Int,
        _ body: (UInt8) -> Void
    ) {
        var pending: UInt32 = 0
        var bits = leadingZeros
        for byte in bytes {
            pending = pending << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                body(UInt8(pending >> UInt32(bits) & 31))
            }
        }
        if bits > 0 { body(UInt8(pending << UInt32(5 - bits) & 31)) }
    }

    /// Returns the bytes of `digits`; bits that fill no byte at the end are left out.
    ///
    /// The caller has checked that the first `leadingZeros` bits are zero.
    package static func bytes(of digits: some Sequence<UInt8>, leadingZeros: Int = 0) -> [UInt8] {
        var bytes = [UInt8]()
        bytes.reserveCapacity(digits.underestimatedCount * 5 / 8)
        var pending: UInt32 = 0
        var bits = -leadingZeros
        for digit in digits {
            pending = pending << 5 | UInt32(digit)
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: pending >> UInt32(bits)))
            }
        }
        return bytes
    }

    /// Returns the characters of `digits`, each from 0 to 31, as ASCII.
    package static func characters(of digits: some Sequence<UInt8>, isUppercase: Bool = false) -> [UInt8] {
        let alphabet = isUppercase ? Base32.uppercase : Base32.lowercase
        return digits.map { alphabet[Int($0)] }
    }

    /// The digit of a lower-case character of the alphabet; `nil` for every other character.
    package static func digit(_ character: UInt8) -> UInt8? {
        let digit = Base32.values[Int(character)]
        return digit < 32 ? digit : nil
    }

    /// The digit of a character as people type it: of either case, O for 0, I and L for 1; `nil` for every other character.
    package static func typedDigit(_ character: Unicode.Scalar) -> UInt8? {
        switch character {
        case "o", "O": 0
        case "i", "I", "l", "L": 1
        case "A"..."Z": Base32.digit(UInt8(ascii: character) + 32)
        default: character.isASCII ? Base32.digit(UInt8(ascii: character)) : nil
        }
    }
}
