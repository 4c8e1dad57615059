import struct SwiftProtobuf.BinaryDecodingOptions
import protocol SwiftProtobuf.Enum
import protocol SwiftProtobuf.Message

/// Converts protocol buffers to bytes and back, for all codecs.
enum ProtocolBuffers {
    /// Encodes a message; equal messages give equal bytes.
    static func encode(_ message: some Message) -> [UInt8] {
        do {
            return try message.serializedBytes()
        } catch {
            // Serialisation fails only for missing required fields, for extensions, and above 2 GiB. Messages of this
            // program have none of these.
            preconditionFailure("a message could not be encoded: \(type(of: error))")
        }
    }

    /// Builds a message from bytes of a peer.
    ///
    /// The decoder drops unknown fields, because no code uses them. Messages nest at most `depth` deep.
    ///
    /// - Throws: ``WireDecodingError/malformed``.
    static func decode<Frame: Message>(_ bytes: [UInt8], depth: Int) throws(WireDecodingError) -> Frame {
        var options = BinaryDecodingOptions()
        options.messageDepthLimit = depth
        options.discardUnknownFields = true
        do {
            return try Frame(serializedBytes: bytes, options: options)
        } catch {
            throw .malformed
        }
    }

    /// Returns the wire form of a case.
    ///
    /// Both enumerations use the numbers of PROTOCOL.md, and a test compares them.
    static func wire<Case: RawRepresentable, Wire: Enum>(_ value: Case) -> Wire where Case.RawValue: BinaryInteger {
        Wire(rawValue: Int(value.rawValue)) ?? Wire()
    }

    /// Returns the case of a wire form.
    ///
    /// - Throws: ``WireDecodingError/unknownValue(field:)`` for a number that this version does not know.
    static func known<Case: RawRepresentable>(
        _ wire: some Enum,
        _ field: String
    ) throws(WireDecodingError) -> Case where Case.RawValue: FixedWidthInteger {
        guard let number = Case.RawValue(exactly: wire.rawValue), let value = Case(rawValue: number) else {
            throw .unknownValue(field: field)
        }
        return value
    }
}
