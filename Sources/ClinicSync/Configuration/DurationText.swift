/// Reads and writes durations in a short form: `500ms`, `30s`, `15m`, `8h`, `7d`.
package enum DurationText {
    private static let units: [(suffix: String, seconds: Int64)] = [
        ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1),
    ]

    /// Reads a whole number and a unit; `nil` for anything else.
    package static func parse(_ text: String) -> Duration? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int64(digits), number <= 1_000_000_000 else { return nil }
        let suffix = text.dropFirst(digits.count)
        if suffix == "ms" { return .milliseconds(number) }
        guard let unit = DurationText.units.first(where: { $0.suffix == suffix }) else { return nil }
        return .seconds(number * unit.seconds)
    }

    /// Writes `duration` in the largest unit that leaves no remainder.
    package static func format(_ duration: Duration) -> String {
        let milliseconds = duration.wholeMilliseconds
        guard milliseconds % 1_000 == 0 else { return "\(milliseconds)ms" }
        let seconds = milliseconds / 1_000
        let unit = DurationText.units.first { seconds % $0.seconds == 0 && seconds >= $0.seconds }
        guard let unit else { return "\(seconds)s" }
        return "\(seconds / unit.seconds)\(unit.suffix)"
    }
}

extension Duration {
    /// Whole milliseconds, rounded towards zero.
    package var wholeMilliseconds: Int64 {
        self.components.seconds * 1_000 + self.components.attoseconds / 1_000_000_000_000_000
    }
}
