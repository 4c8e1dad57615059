/// The identity of a node: 128 bits, the same for the life of its key.
///
/// The text form is 26 characters of lower-case Crockford base 32, most significant bits first, so that text and
/// binary forms sort alike. The order is significant: of two equal timestamps, the timestamp of the larger origin
/// wins (see ``Version``).
package struct NodeID: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The upper 64 bits.
    package let high: UInt64
    /// The lower 64 bits.
    package let low: UInt64

    private static let alphabet = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)

    /// Makes an identity from its two halves.
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Makes a random identity with `generator`.
    package init(using generator: inout some RandomNumberGenerator) {
        self.init(high: generator.next(), low: generator.next())
    }

    /// Reads the text form.
    ///
    /// Returns `nil` unless the text is 26 characters of the alphabet that fit 128 bits.
    package init?(_ text: some StringProtocol) {
        let characters = Array(text.utf8)
        guard characters.count == 26 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for (index, character) in characters.enumerated() {
            guard let digit = NodeID.alphabet.firstIndex(of: character) else { return nil }
            // 26 digits hold 130 bits, so the first digit may only use its lower three.
            if index == 0, digit > 7 { return nil }
            high = high << 5 | low >> 59
            low = low << 5 | UInt64(digit)
        }
        self.init(high: high, low: low)
    }

    /// The text form, 26 characters.
    package var description: String {
        var digits = [UInt8]()
        digits.reserveCapacity(26)
        var high = self.high
        var low = self.low
        for _ in 0..<26 {
            digits.append(NodeID.alphabet[Int(low & 31)])
            low = low >> 5 | high << 59
            high >>= 5
        }
        return String(decoding: digits.reversed(), as: UTF8.self)
    }

    /// Orders by the 128-bit number.
    package static func < (left: NodeID, right: NodeID) -> Bool {
        (left.high, left.low) < (right.high, right.low)
    }
}

/// The author of changes: a node in one of its incarnations.
///
/// A cloned disk or a restored backup can use batch numbers again. A node that detects this continues in a new
/// incarnation, so that a pair of origin and sequence never names two different batches.
package struct Origin: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The node.
    package let node: NodeID
    /// The incarnation's number; 0 is the first, later numbers are random.
    package let incarnation: UInt32

    /// The author of seed rows: smaller than every real origin, and known to every node from the start.
    package static let genesis = Origin(node: NodeID(high: 0, low: 0), incarnation: 0)

    /// Makes an origin.
    package init(node: NodeID, incarnation: UInt32 = 0) {
        self.node = node
        self.incarnation = incarnation
    }

    /// The node's text form; incarnations after the first are appended as `.N`.
    package var description: String {
        self.incarnation == 0 ? self.node.description : "\(self.node).\(self.incarnation)"
    }

    /// Orders by node, then incarnation.
    package static func < (left: Origin, right: Origin) -> Bool {
        left.node == right.node ? left.incarnation < right.incarnation : left.node < right.node
    }
}
