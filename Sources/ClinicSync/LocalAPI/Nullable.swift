/// An optional that JSON shows as `null`; Swift's own coding omits the key.
///
/// Keys of the API's documents are always there, so that a program can distinguish "no value" from "not reported".
@propertyWrapper
public struct Nullable<Wrapped: Sendable & Hashable & Codable>: Sendable, Hashable, Codable {
    /// The value.
    public var wrappedValue: Wrapped?

    /// Wraps a value.
    public init(wrappedValue: Wrapped?) {
        self.wrappedValue = wrappedValue
    }

    /// Reads a value or `null`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        self.wrappedValue = container.decodeNil() ? nil : try container.decode(Wrapped.self)
    }

    /// Writes the value or `null`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let value = self.wrappedValue { try container.encode(value) } else { try container.encodeNil() }
    }
}
