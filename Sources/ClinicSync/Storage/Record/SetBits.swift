extension UInt64 {
    /// The places of the set bits, in ascending order.
    var setBits: SetBits { SetBits(rest: self) }

    /// A sequence of bit places.
    struct SetBits: Sequence, IteratorProtocol {
        var rest: UInt64

        @inline(__always)
        mutating func next() -> Int? {
            guard self.rest != 0 else { return nil }
            let place = self.rest.trailingZeroBitCount
            self.rest &= self.rest &- 1
            return place
        }
    }
}
