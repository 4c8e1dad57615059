import struct SwiftProtobuf.BinaryDecodingOptions
import protocol SwiftProtobuf.Enum
import protocol SwiftProtobuf.Message

/// Protocol buffers to bytes and back, as all codecs do it.
enum ProtocolBuffers {
    /// Encodes a message; equal messages give equal bytes.
    static func encode(_ message: some Message) -> [UInt8] {
        do {
            return try message.serializedBytes()
        } catch {
            // Fails only for required fields, extensions and 2 GiB, none of which a message of ours can have.
            preconditionFailure("a message could not be encoded: \(type(of: error))")
        }
    }

    /// Builds a message from bytes of a peer.
    ///
    /// Unknown fields are dropped, because they would only be kept to be thrown away. Messages nest at most `depth` deep.
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

    /// The wire form of a case.
    ///
    /// Both enumerations have the numbers of PROTOCOL.md; a test compares them.
    static func wire<Case: RawRepresentable, Wire: Enum>(_ value: Case) -> Wire where Case.RawValue: BinaryInteger {
        Wire(rawValue: Int(value.rawValue)) ?? Wire()
    }

    /// The case of a wire form.
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
