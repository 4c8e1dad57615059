import Foundation

/// A moment in the public form: `2026-11-21T10:00:00.123Z`.
public struct UTCTimestamp: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// Milliseconds since 1970-01-01T00:00:00Z; of the years 1 to 9999.
    public let milliseconds: Int64

    /// The years 1 to 9999: differences of any two moments fit, and the text form has its usual length.
    private static let range: ClosedRange<Int64> = -62_135_596_800_000...253_402_300_799_999

    /// Makes a moment; a number beyond the years 1 to 9999 becomes the nearest one within.
    public init(milliseconds: Int64) {
        self.milliseconds = min(max(milliseconds, UTCTimestamp.range.lowerBound), UTCTimestamp.range.upperBound)
    }

    /// The ISO 8601 form with milliseconds, always 24 characters for the years 1970 to 9999.
    public var description: String {
        // Adds half a millisecond, because a `Date` is a binary fraction and the style truncates hidden digits.
        Date(timeIntervalSince1970: (Double(self.milliseconds) + 0.5) / 1_000).formatted(UTCTimestamp.style)
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
        do {
            let seconds = try UTCTimestamp.style.parse(text).timeIntervalSince1970
            guard let milliseconds = Int64(exactly: (seconds * 1_000).rounded()) else { return nil }
            self.init(milliseconds: milliseconds)
        } catch {
            return nil
        }
        // The style also accepts other forms of the same moment, and the 30th of February.
        guard self.description == text else { return nil }
    }

    private static let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
}
