/// The ranges of the numbers that nodes exchange and keep.
///
/// They are constants of the protocol, the same on every node, so that all nodes judge a number alike. Each range
/// leaves room for what is computed with its numbers: a successor, a sum, a form that SQLite can store. A number of a
/// peer beyond its range is refused; a number in a table of this node beyond its range is damage. See
/// `docs/design/0016-bounds.md`.
package enum Bounds {
    /// The largest term of a host.
    ///
    /// A claim of a host of this term claims the term again; the candidacy decides then.
    package static let termMax: UInt64 = 1 << 48 - 1
    /// The largest number of a batch.
    ///
    /// A JSON number holds it exactly.
    package static let sequenceMax: UInt64 = 1 << 53 - 1
    /// The largest place of a chunk in its batch.
    package static let chunkIndexMax: UInt32 = 1 << 24 - 1
    /// The largest number of rows.
    ///
    /// Sums of many such numbers do not overflow.
    package static let rowsMax: UInt64 = 1 << 48
    /// The largest position of a chunk or an event in this node's logs.
    ///
    /// A JSON number holds it exactly.
    package static let positionMax: UInt64 = 1 << 53 - 1
    /// The latest time, in milliseconds since 1970: the beginning of the year 2200.
    package static let millisecondsMax: Int64 = 7_258_118_400_000

    /// Returns the term after `term`; the largest term is its own successor.
    package static func term(after term: UInt64) -> UInt64 { term < self.termMax ? term + 1 : self.termMax }

    /// Returns the sum of two numbers of rows, at most ``rowsMax``, so that a peer takes the sum of many peers' numbers.
    package static func rows(_ number: UInt64, and more: some BinaryInteger) -> UInt64 {
        min(min(number, self.rowsMax) + min(UInt64(clamping: more), self.rowsMax), self.rowsMax)
    }

    /// Returns the nearest time from 1970 to ``millisecondsMax``.
    package static func milliseconds(clamping number: Int64) -> Int64 { min(max(number, 0), self.millisecondsMax) }
}
