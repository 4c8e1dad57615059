import ClinicSyncCore

/// Makes inputs from a corpus: each is an entry that was changed in one to four ways.
///
/// The ways are those by which decoders usually fall: lengths that promise too much, numbers that do not fit, parts that are
/// missing, repeated, or of another record.
package struct FuzzMutator {
    private enum Mutation: CaseIterable {
        case flipBit, setByte, insert, remove, truncate, duplicate, repeatByte, nudge, hugeNumber, token, splice
    }

    /// Bytes at the edges of ranges.
    private static let edges: [UInt8] = [0, 1, 2, 0x1F, 0x20, 0x30, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFE, 0xFF]

    /// LEB128 numbers at the limits of 31, 32, 63 and 64 bits, and one without an end.
    private static let numbers: [[UInt8]] = [
        [0xFF, 0xFF, 0xFF, 0xFF, 0x07], [0x80, 0x80, 0x80, 0x80, 0x10],
        Array(repeating: 0xFF, count: 8) + [0x7F], Array(repeating: 0x80, count: 9) + [0x01],
        Array(repeating: 0xFF, count: 9) + [0x01], Array(repeating: 0xFF, count: 10),
        Array(repeating: 0xFF, count: 7) + [0x7F], [0x80, 0x00],
    ]

    /// Characters of texts.
    private static let tokens: [[UInt8]] =
        [
            "{", "}", "[", "]", "\"", ":", ",", "null", "true", "-0", "1e999", "18446744073709551616", "\\u0000",
            "\\ud800",
            "[::1]:1", ":", "%", "-----BEGIN CERTIFICATE-----\n", "=", "\u{FEFF}", "é",
        ].map { Array($0.utf8) } + [[0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF8]]

    private var generator: SplitMix64

    /// Begins a sequence of inputs that depends on `seed` alone.
    package init(seed: UInt64) { self.generator = SplitMix64(seed: seed) }

    /// The next input, made from an entry of `corpus`.
    package mutating func next(_ corpus: [[UInt8]]) -> [UInt8] {
        var bytes = corpus.randomElement(using: &self.generator) ?? []
        for _ in 0..<Int.random(in: 1...4, using: &self.generator) {
            self.mutate(&bytes, corpus)
        }
        if bytes.count > FuzzRun.inputBytesMax { bytes.removeSubrange(FuzzRun.inputBytesMax...) }
        return bytes
    }

    private mutating func mutate(_ bytes: inout [UInt8], _ corpus: [[UInt8]]) {
        let place = Int.random(in: 0...bytes.count, using: &self.generator)
        let mutation = Mutation.allCases.randomElement(using: &self.generator) ?? .insert
        switch mutation {
        case .insert: bytes.insert(contentsOf: self.noise(), at: place)
        case .truncate: bytes.removeSubrange(place...)
        case .hugeNumber: self.place(FuzzMutator.numbers, in: &bytes, at: place)
        case .token: self.place(FuzzMutator.tokens, in: &bytes, at: place)
        case .splice:
            let other = corpus.randomElement(using: &self.generator) ?? []
            let start = Int.random(in: 0...other.count, using: &self.generator)
            bytes.replaceSubrange(place..., with: other[start...])
        case .remove: bytes.removeSubrange(self.range(from: place, in: bytes))
        case .duplicate:
            let range = self.range(from: place, in: bytes)
            bytes.insert(contentsOf: bytes[range], at: place)
        case .repeatByte:
            let count = Int.random(in: 1...300, using: &self.generator)
            let byte = place < bytes.count ? bytes[place] : 0
            bytes.insert(contentsOf: repeatElement(byte, count: count), at: place)
        case .flipBit, .setByte, .nudge:
            guard place < bytes.count else { return }
            self.change(&bytes[place], mutation)
        }
    }

    private mutating func change(_ byte: inout UInt8, _ mutation: Mutation) {
        switch mutation {
        case .flipBit: byte ^= 1 << UInt8.random(in: 0...7, using: &self.generator)
        case .setByte: byte = FuzzMutator.edges.randomElement(using: &self.generator) ?? 0
        default: byte = byte &+ UInt8(truncatingIfNeeded: Int.random(in: -4...4, using: &self.generator))
        }
    }

    /// Inserts one of `choices`, or overwrites bytes with it.
    private mutating func place(_ choices: [[UInt8]], in bytes: inout [UInt8], at place: Int) {
        let choice = choices.randomElement(using: &self.generator) ?? []
        let end = Bool.random(using: &self.generator) ? place : min(place + choice.count, bytes.count)
        bytes.replaceSubrange(place..<end, with: choice)
    }

    private mutating func noise() -> [UInt8] {
        (0..<Int.random(in: 1...16, using: &self.generator)).map { _ in UInt8(truncatingIfNeeded: self.generator.next())
        }
    }

    private mutating func range(from place: Int, in bytes: [UInt8]) -> Range<Int> {
        let length = min(bytes.count - place, Int.random(in: 1...64, using: &self.generator))
        return place..<place + length
    }
}
