/// A moment as the outside sees it: `2026-11-21T10:00:00.123Z`.
public struct UTCTimestamp: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    public let milliseconds: Int64

    /// Makes a moment.
    public init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    /// The ISO 8601 form with milliseconds, always 24 characters for the years 0 to 9999.
    public var description: String {
        let (days, millisecond) = UTCTimestamp.divide(self.milliseconds, by: 86_400_000)
        let (year, month, day) = UTCTimestamp.date(days: days)
        let date = "\(UTCTimestamp.pad(year, 4))-\(UTCTimestamp.pad(month, 2))-\(UTCTimestamp.pad(day, 2))"
        let hour = UTCTimestamp.pad(millisecond / 3_600_000, 2)
        let minute = UTCTimestamp.pad(millisecond / 60_000 % 60, 2)
        let second = UTCTimestamp.pad(millisecond / 1_000 % 60, 2)
        return "\(date)T\(hour):\(minute):\(second).\(UTCTimestamp.pad(millisecond % 1_000, 3))Z"
    }

    /// Orders by time.
    public static func < (left: UTCTimestamp, right: UTCTimestamp) -> Bool {
        left.milliseconds < right.milliseconds
    }

    /// Reads the ISO 8601 form, exactly as ``description`` writes it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let moment = UTCTimestamp(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no UTC time with milliseconds")
        }
        self = moment
    }

    /// Writes the ISO 8601 form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(self.description)
    }

    /// Reads what ``description`` writes; `nil` for anything else.
    public init?(_ text: String) {
        let numbers = text.split { !$0.isASCII || !$0.isNumber }.compactMap { Int64($0) }
        guard numbers.count == 7 else { return nil }
        let days = UTCTimestamp.days(year: numbers[0], month: numbers[1], day: numbers[2])
        let seconds = numbers[3] * 3_600 + numbers[4] * 60 + numbers[5]
        self.init(milliseconds: (days * 86_400 + seconds) * 1_000 + numbers[6])
        // Whatever is out of range or written otherwise does not come out as it went in.
        guard self.description == text else { return nil }
    }

    /// The Gregorian date of a day.
    ///
    /// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". Years begin in March, so
    /// that the leap day is the last of its year; 400 years have 146 097 days.
    private static func date(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, day) = UTCTimestamp.divide(days + 719_468, by: 146_097)
        let yearOfEra = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365
        let dayOfYear = day - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let (era, yearOfEra) = UTCTimestamp.divide(month <= 2 ? year - 1 : year, by: 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// Division that rounds down, also before 1970.
    private static func divide(_ number: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let remainder = (number % divisor + divisor) % divisor
        return ((number - remainder) / divisor, remainder)
    }

    private static func pad(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
