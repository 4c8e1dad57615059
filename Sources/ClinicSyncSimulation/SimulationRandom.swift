import ClinicSyncCore

/// The only source of random numbers of a simulated run.
///
/// All random decisions use it in the order in which they happen, so one seed is one run.
package struct SimulationRandom: RandomNumberGenerator {
    private var generator: SplitMix64

    /// Starts the sequence of `seed`.
    package init(seed: UInt64) { self.generator = SplitMix64(seed: seed) }

    /// Returns the next 64 bits.
    package mutating func next() -> UInt64 { self.generator.next() }

    /// Returns a number from 0 to `limit` - 1.
    package mutating func below(_ limit: Int) -> Int {
        Int(self.next().multipliedFullWidth(by: UInt64(max(limit, 1))).high)
    }

    /// Returns a number of the range.
    package mutating func number(in range: ClosedRange<Int>) -> Int {
        range.lowerBound + self.below(range.upperBound - range.lowerBound + 1)
    }

    /// Returns `true` with this probability in percent.
    package mutating func chance(_ percent: Int) -> Bool { self.below(100) < percent }

    /// Returns a duration between the two, in steps of a microsecond.
    package mutating func duration(_ least: Duration, _ most: Duration) -> Duration {
        least + self.generator.duration(upTo: most - least)
    }

    /// Returns one of the elements, `nil` when there is none.
    package mutating func element<Element>(of elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[self.below(elements.count)]
    }
}
