import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("Text forms of bytes and numbers") struct TextFormTests {
    @Test("base 32 keeps all bits, the most significant first, and fills the last digit with zeros")
    func base32() {
        #expect(Base32.digits(of: [0xFF]) == [31, 28])
        #expect(Base32.digits(of: [0xFF, 0x00, 0xFF, 0x00, 0xFF]) == [31, 28, 0, 15, 30, 0, 7, 31])
        #expect(Base32.bytes(of: [31, 28, 0, 15, 30, 0, 7, 31]) == [0xFF, 0x00, 0xFF, 0x00, 0xFF])
        #expect(Base32.bytes(of: [31, 28]) == [0xFF])
        #expect(Base32.digits(of: [0x80], leadingZeros: 2) == [4, 0])
        #expect(String(decoding: Base32.characters(of: 0...31), as: UTF8.self) == "0123456789abcdefghjkmnpqrstvwxyz")
        #expect(String(decoding: Base32.characters(of: [10, 31], isUppercase: true), as: UTF8.self) == "AZ")
        for digit in UInt8(0)...31 {
            #expect(Base32.digit(Base32.characters(of: [digit])[0]) == digit)
            let typed = Unicode.Scalar(Base32.characters(of: [digit], isUppercase: true)[0])
            #expect(Base32.typedDigit(typed) == digit)
        }
        for (typed, digit) in [("o", 0), ("O", 0), ("i", 1), ("I", 1), ("l", 1), ("L", 1)] as [(Unicode.Scalar, UInt8)]
        {
            #expect(Base32.typedDigit(typed) == digit)
        }
        for other in ["u", "U", "-", " ", "é", "٣", "\u{0}"] as [Unicode.Scalar] {
            #expect(Base32.typedDigit(other) == nil)
        }
        #expect(Base32.digit(UInt8(ascii: "A")) == nil)
    }

    @Test("a node's id has one text and one form in bytes")
    func nodeID() throws {
        let id = NodeID(high: 0x0011_2233_4455_6677, low: 0x8899_AABB_CCDD_EEFF)
        #expect(id.description == "0024h36h2ncsvrh6daqf6dvvqz")
        #expect(id.bytes == Array(0...15).map { UInt8($0 * 17) })
        #expect(NodeID(bytes: id.bytes) == id)
        #expect(NodeID(bytes: id.bytes.dropLast()) == nil)
        var generator = SplitMix64(seed: 7)
        for id in (0..<200).map({ _ in NodeID(using: &generator) }) + [
            NodeID(high: .max, low: .max), NodeID(high: 0, low: 0),
        ] {
            #expect(NodeID(id.description) == id)
            #expect(NodeID(bytes: id.bytes) == id)
        }
        let largest = NodeID(high: .max, low: .max).description
        for text in ["", String(largest.dropLast()), largest + "0", "8" + largest.dropFirst(), largest.uppercased()] {
            #expect(NodeID(text) == nil, "\(text)")
        }
    }

    @Test("numbers are padded with zeros and never cut")
    func padding() {
        #expect(7.padded(to: 3) == "007")
        #expect(1_234.padded(to: 3) == "1234")
        #expect(UInt64.max.padded(to: 16, radix: 16) == "ffffffffffffffff")
        #expect(UInt8(0).padded(to: 2, radix: 16) == "00")
        #expect([0x00, 0x0F, 0xF0, 0xFF].map { UInt8($0) }.hexadecimal == "000ff0ff")
    }

    @Test("keys of rows have the form of the tables' DEFAULT and sort by time")
    func rowKeys() {
        var generator = SplitMix64(seed: 1)
        let keys = [-1, 0, 1, 0xFFFF, 1_764_000_000_000, 1 << 47].map { RowKey.make(at: $0, using: &generator) }
        for key in keys {
            #expect(key.count == 32)
            #expect(key.allSatisfy { $0.isHexDigit && !$0.isUppercase })
        }
        #expect(keys.dropFirst() == keys.dropFirst().sorted()[...])
        #expect(keys[0].prefix(12) == "000000000000")
        #expect(Set(keys.map { $0.suffix(20) }).count == keys.count)
    }

    @Test("values are equal when SQLite stores the same class and bytes, and each is found by its text form")
    func values() {
        #expect(SQLiteValue.string("ren\u{E9}") != .string("rene\u{301}"))
        #expect(SQLiteValue.text([0x31]) != .blob([0x31]))
        for value in [SQLiteValue.string("rene\u{301}"), .blob([0, 0xFF]), .blob([]), .string("x'0'")] {
            #expect(SQLiteValue.displayed(as: value.displayText).contains(value))
        }
        for text in ["x'\u{E9}'", "x'+1'", "x'0'", "x'", "x'00ff"] {
            #expect(SQLiteValue.displayed(as: text) == [.string(text)])
        }
        #expect(SQLiteValue.text([0xFF]).text(with: "-end") == .text([0xFF] + Array("-end".utf8)))
        #expect(SQLiteValue.blob([0xFF]).text(with: "-end") == "x'ff'-end")
    }

    @Test("secrets are equal when all bytes are")
    func constantTime() {
        #expect(ConstantTime.equal([1, 2, 3], [1, 2, 3]))
        #expect(ConstantTime.equal([], []))
        for other in [[], [1, 2], [1, 2, 4], [0, 2, 3], [1, 2, 3, 4]] as [[UInt8]] {
            #expect(!ConstantTime.equal([1, 2, 3], other))
        }
    }
}
