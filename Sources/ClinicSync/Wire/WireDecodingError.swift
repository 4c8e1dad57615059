/// Why bytes are not a valid message.
///
/// Field names are the names in `clinicsync.proto`. No error contains a value.
package enum WireDecodingError: Error, Sendable, Hashable {
    /// The bytes are not a protocol buffer of a frame.
    case malformed
    /// The frame has no message that this version knows, or more than one.
    case notOneMessage
    /// A field is larger, or has more elements, than ``WireLimits`` allows.
    case limitExceeded(field: String)
    /// A required field is missing.
    case missing(field: String)
    /// A field is not allowed here, or contradicts another field.
    case unexpected(field: String)
    /// An enumeration has a number that this version does not know.
    case unknownValue(field: String)
    /// Bytes of a fixed length have another length, or columns of one table differ in length.
    case wrongLength(field: String)
    /// A number lies outside its range in ``Bounds``.
    case outOfRange(field: String)
}
