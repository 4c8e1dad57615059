/// Why bytes are no message.
///
/// Names of fields are those of `clinicsync.proto`; no error carries a value.
package enum WireDecodingError: Error, Sendable, Hashable {
    /// The bytes are no protocol buffer of a frame.
    case malformed
    /// The frame has no message that this version knows, or more than one.
    case notOneMessage
    /// A field is larger, or has more elements, than ``WireLimits`` allows.
    case limitExceeded(field: String)
    /// A field that must be there is not.
    case missing(field: String)
    /// A field must not be there, or contradicts another.
    case unexpected(field: String)
    /// An enumeration has a number this version does not know.
    case unknownValue(field: String)
    /// Bytes of a fixed length have another, or columns of one table differ in length.
    case wrongLength(field: String)
    /// A number lies outside what can be stored.
    case outOfRange(field: String)
}
