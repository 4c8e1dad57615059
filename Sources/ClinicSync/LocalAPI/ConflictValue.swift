/// A column's value as JSON: text, number or null; bytes as the text `x'…'`.
public enum ConflictValue: Sendable, Hashable, Codable {
    /// NULL.
    case null
    /// A whole number.
    case integer(Int64)
    /// A number.
    case number(Double)
    /// Text.
    case text(String)

    /// Reads text, a number or null.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let number = ConflictValue.attempt({ try container.decode(Int64.self) }) {
            self = .integer(number)
        } else if let number = ConflictValue.attempt({ try container.decode(Double.self) }) {
            self = .number(number)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    /// Writes text, a number or null.
    ///
    /// An infinite number becomes text, because JSON has no infinity.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .integer(let number): try container.encode(number)
        case .number(let number) where number.isFinite: try container.encode(number)
        case .number, .text: try container.encode(self.description)
        }
    }

    /// A value of another type is not an error here; the caller tries the next type.
    private static func attempt<Result>(_ body: () throws -> Result) -> Result? {
        do { return try body() } catch { return nil }
    }
}

extension ConflictValue: CustomStringConvertible {
    /// The text form for people.
    public var description: String {
        switch self {
        case .null: "nothing"
        case .integer(let number): String(number)
        case .number(let number): String(number)
        case .text(let text): text
        }
    }
}
