/// A small seeded source of random numbers, for jitter alone.
///
/// Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014. One seed gives one
/// sequence, so that a run of the node can be repeated. Not for secrets.
package struct SplitMix64: RandomNumberGenerator, Sendable, Hashable {
    private var state: UInt64

    /// Starts the sequence of `seed`.
    package init(seed: UInt64) {
        self.state = seed
    }

    /// Returns the next 64 bits.
    package mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Returns a duration between zero and `limit`, both included, in steps of a microsecond.
    package mutating func duration(upTo limit: Duration) -> Duration {
        let microseconds = UInt64(max(limit / .microseconds(1), 0)) &+ 1
        return .microseconds(Int64(self.next().multipliedFullWidth(by: microseconds).high))
    }
}
