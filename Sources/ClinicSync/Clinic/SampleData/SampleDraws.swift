import ClinicSyncCore
import ClinicSyncModel
import GRDB

/// Random choices that depend only on a seed.
struct SampleDraws {
    private var generator: SplitMix64

    /// Begins the choices of part `part` of `seed`.
    ///
    /// Parts are independent of each other.
    init(seed: UInt64, part: UInt64) {
        var mixer = SplitMix64(seed: seed)
        self.generator = SplitMix64(seed: mixer.next() ^ (part &* 0xD1B5_4A32_D192_ED03))
    }

    /// Returns a number in the range.
    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self.generator) }

    /// Returns an element of the list, which must not be empty.
    mutating func pick<Element>(_ list: [Element]) -> Element { list[self.number(0...(list.count - 1))] }

    /// Returns `true` in `percent` of a hundred cases.
    mutating func chance(_ percent: Int) -> Bool { self.number(1...100) <= percent }

    /// Returns an element of the list as a value, or NULL in the other cases.
    mutating func maybe(_ percent: Int, _ list: [String]) -> SQLiteValue {
        self.chance(percent) ? .string(self.pick(list)) : .null
    }

    /// Returns 64 hexadecimal digits: the form of a SHA-256 with an unknown original.
    mutating func hash() -> String {
        (0..<4).map { _ in SampleDraws.padded(String(self.generator.next(), radix: 16), 16) }.joined()
    }

    /// Returns a telephone number that nobody has.
    mutating func telephone() -> String { "0900" + SampleDraws.padded(String(self.number(0...9_999_999)), 7) }

    /// A house in a town.
    mutating func address() -> String {
        let street = self.pick(SampleVocabulary.streets)
        let barangay = self.pick(SampleVocabulary.barangays)
        return "\(self.number(1...480)) \(street), Brgy. \(barangay), \(self.pick(SampleVocabulary.towns))"
    }

    /// Adds zeros before `digits` up to a length of `width`.
    static func padded(_ digits: String, _ width: Int) -> String {
        String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}

/// The days of made-up data, from half a year ago to two weeks ahead.
struct SampleCalendar {
    /// How many days before today there are.
    static let past = 180
    /// How many days after today there are.
    static let future = 14

    private let days: [String]

    /// Lists the days around today, by the clock of `db`.
    init(_ db: Database) throws {
        let days = try String.fetchAll(
            db,
            sql: """
                WITH RECURSIVE numbers(n) AS (SELECT -\(Self.past) UNION ALL SELECT n + 1 FROM numbers WHERE n < \(Self.future))
                SELECT date('now', n || ' days') FROM numbers ORDER BY n
                """
        )
        self.days = days
    }

    /// A day's ISO date; 0 is today, -1 yesterday.
    func date(_ day: Int) -> String { self.days[day + SampleCalendar.past] }

    /// The year today is in.
    var year: Int { Int(self.date(0).prefix(4)) ?? 2026 }

    /// Returns a moment of a day, by the number of minutes after opening.
    ///
    /// The clinic opens at 8:00 in the Philippines, which is 0:00 in UTC.
    func moment(_ day: Int, _ minutes: Int) -> String {
        let hour = SampleDraws.padded(String(minutes / 60), 2)
        return "\(self.date(day))T\(hour):\(SampleDraws.padded(String(minutes % 60), 2)):00.000Z"
    }
}
