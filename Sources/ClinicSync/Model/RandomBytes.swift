extension Array<UInt8> {
    /// Draws `count` bytes from `generator`.
    package init(count: Int, using generator: inout some RandomNumberGenerator) {
        self = (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next() as UInt64) }
    }
}

/// Keys that the node draws for rows of the clinic's tables.
package enum RowKey {
    /// Draws a key of the form that the tables' DEFAULT gives: 12 hexadecimal digits of time and 20 random ones.
    ///
    /// Keys sort by time, and no two PCs draw the same.
    package static func make(at milliseconds: Int64, using generator: inout some RandomNumberGenerator) -> String {
        max(milliseconds, 0).padded(to: 12, radix: 16) + [UInt8](count: 10, using: &generator).hexadecimal
    }
}
