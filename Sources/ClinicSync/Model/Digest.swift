/// An additive 128-bit digest of a set of rows: the sum of the rows' hashes modulo 2^128.
///
/// A node updates a sum row by row, and the sum does not depend on the order of rows. It detects accidents. It does
/// not detect a member that forges rows.
package struct Digest: Sendable, Hashable, CustomStringConvertible {
    /// The upper 64 bits.
    package private(set) var high: UInt64
    /// The lower 64 bits.
    package private(set) var low: UInt64

    /// The digest of no rows.
    package static let zero = Digest(high: 0, low: 0)

    /// Makes a digest from its halves.
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Adds a row's hash.
    package static func += (left: inout Digest, right: Digest) {
        let (low, carry) = left.low.addingReportingOverflow(right.low)
        left.low = low
        left.high = left.high &+ right.high &+ (carry ? 1 : 0)
    }

    /// Subtracts a row's hash.
    package static func -= (left: inout Digest, right: Digest) {
        let (low, borrow) = left.low.subtractingReportingOverflow(right.low)
        left.low = low
        left.high = left.high &- right.high &- (borrow ? 1 : 0)
    }

    /// The 16 bytes, most significant first.
    package var bytes: [UInt8] { self.high.bigEndianBytes + self.low.bigEndianBytes }

    /// 32 hexadecimal digits.
    package var description: String { self.high.padded(to: 16, radix: 16) + self.low.padded(to: 16, radix: 16) }
}

/// How many states a set has, and the sum of their hashes.
package struct StateSum: Sendable, Hashable {
    /// How many states there are.
    package var rows: UInt64
    /// The sum of their hashes.
    package var digest: Digest

    /// The sum of no states.
    package static let zero = StateSum(rows: 0, digest: .zero)

    /// Makes a sum.
    package init(rows: UInt64, digest: Digest) {
        self.rows = rows
        self.digest = digest
    }
}

/// Rows and digest of one replicated table.
package struct TableDigest: Sendable, Hashable {
    /// The table's name.
    package let name: String
    /// How many rows it has.
    package var rows: UInt64
    /// The sum of the rows' hashes.
    package var digest: Digest
    /// The own states of rows that the table hides, or shows in another form; `nil` when the node does not know the sum.
    package var hidden: StateSum?
    /// The states of deleted rows; `nil` when the node does not know the sum.
    package var deleted: StateSum?

    /// Makes a table's digest.
    package init(
        name: String,
        rows: UInt64,
        digest: Digest,
        hidden: StateSum? = nil,
        deleted: StateSum? = nil
    ) {
        self.name = name
        self.rows = rows
        self.digest = digest
        self.hidden = hidden
        self.deleted = deleted
    }

    /// Whether nothing contradicts that two nodes have the same states: a sum that one of them does not know is not compared.
    package func agrees(with other: TableDigest) -> Bool {
        func isSame(_ ours: StateSum?, _ theirs: StateSum?) -> Bool { ours == nil || theirs == nil || ours == theirs }
        return self.name == other.name && self.rows == other.rows && self.digest == other.digest
            && isSame(self.hidden, other.hidden) && isSame(self.deleted, other.deleted)
    }
}
