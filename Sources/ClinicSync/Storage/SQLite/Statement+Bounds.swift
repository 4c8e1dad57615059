import ClinicSyncModel

/// Numbers of the store's own tables, checked before anything is computed with them.
///
/// Any program may have written them, and a disk may have changed them.
extension Statement {
    /// A whole number of `range`; `nil` for anything else.
    ///
    /// NULL counts as 0.
    func number<Number: FixedWidthInteger>(_ column: Int32, in range: ClosedRange<Number>) -> Number? {
        guard self.isWhole(column), let number = Number(exactly: self.int64(column)), range.contains(number) else {
            return nil
        }
        return number
    }

    /// A whole number of `range`.
    ///
    /// NULL counts as 0.
    ///
    /// - Throws: ``MalformedRecord`` for another number, and for a value that is not a whole number.
    func number<Number: FixedWidthInteger>(
        _ column: Int32,
        in range: ClosedRange<Number>,
        _ name: StaticString
    ) throws(MalformedRecord) -> Number {
        guard let number = self.number(column, in: range) else {
            throw MalformedRecord(reason: "\(name) is out of range")
        }
        return number
    }

    /// The number of a batch; 0 stands for none.
    func sequence(_ column: Int32) throws(MalformedRecord) -> UInt64 {
        try self.number(column, in: 0...Bounds.sequenceMax, "a batch's number")
    }

    /// The position of a chunk or an event; 0 for NULL, as the largest of none is.
    func position(_ column: Int32) throws(MalformedRecord) -> UInt64 {
        try self.number(column, in: 0...Bounds.positionMax, "a position")
    }

    /// A stamp.
    func timestamp(_ column: Int32) throws(MalformedRecord) -> HybridTimestamp {
        let number: UInt64 = try self.number(column, in: 0...HybridTimestamp.largest.rawValue, "a stamp")
        return HybridTimestamp(rawValue: number)
    }

    /// A chunk's place in its batch.
    func chunkIndex(_ column: Int32) throws(MalformedRecord) -> UInt32 {
        try self.number(column, in: 0...Bounds.chunkIndexMax, "a chunk's number")
    }

    /// The incarnation of a node.
    func incarnation(_ column: Int32) throws(MalformedRecord) -> UInt32 {
        try self.number(column, in: 0 ... .max, "an incarnation")
    }

    /// Milliseconds since 1970, clamped to the range of times; for times with which nothing is decided.
    func milliseconds(_ column: Int32) -> Int64 { Bounds.milliseconds(clamping: self.int64(column)) }
}
