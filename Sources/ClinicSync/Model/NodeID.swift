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

    /// Characters of the text form: 26 digits hold the 128 bits and two zero bits before them.
    private static let textLength = 26
    private static let leadingZeros = 2

    /// Makes an identity from its two halves.
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Makes a random identity with `generator`.
    package init(using generator: inout some RandomNumberGenerator) {
        self.init(high: generator.next(), low: generator.next())
    }

    /// Makes an identity from its 16 bytes, most significant first; `nil` for another number of bytes.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        var (high, low): (UInt64, UInt64) = (0, 0)
        for byte in bytes { (high, low) = (high << 8 | low >> 56, low << 8 | UInt64(byte)) }
        self.init(high: high, low: low)
    }

    /// Reads the text form.
    ///
    /// Returns `nil` unless the text is 26 characters of the alphabet that fit 128 bits.
    package init?(_ text: some StringProtocol) {
        var digits = [UInt8]()
        digits.reserveCapacity(NodeID.textLength)
        for character in text.utf8 {
            guard let digit = Base32.digit(character), digits.count < NodeID.textLength else { return nil }
            digits.append(digit)
        }
        guard digits.count == NodeID.textLength, digits[0] < 8 else { return nil }
        self.init(bytes: Base32.bytes(of: digits, leadingZeros: NodeID.leadingZeros))
    }

    /// The 16 bytes, most significant first.
    package var bytes: [UInt8] { self.high.bigEndianBytes + self.low.bigEndianBytes }

    /// The text form, 26 characters.
    package var description: String {
        // Texts of ids are made for every event, so no array is.
        withUnsafeBytes(of: (self.high.bigEndian, self.low.bigEndian)) { bytes in
            Base32.text(of: bytes, leadingZeros: NodeID.leadingZeros)
        }
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
