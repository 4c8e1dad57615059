package import ClinicSyncModel
import FoundationEssentials
package import NIOCore

/// Converts enrollment messages to bytes and back: one binary WebSocket message of an enrollment connection.
///
/// Encoding is deterministic, like the encoding of ``MessageCodec``.
package enum EnrollmentCodec {
    /// Encodes a message into a new buffer, for sending.
    package static func encode(_ message: EnrollmentMessage) -> ByteBuffer {
        var frame = WireEnrollmentFrame()
        switch message {
        case .challenge(let challenge): frame.challenge = WireChallenge(challenge)
        case .request(let request): frame.request = WireEnrollmentRequest(request)
        case .reply(let reply): frame.reply = WireEnrollmentReply(reply)
        }
        return ByteBuffer(bytes: ProtocolBuffers.encode(frame))
    }

    /// Decodes the output of ``encode(_:)`` from a peer that may be dishonest.
    ///
    /// The decoder ignores fields that this version does not know. The size of the WebSocket message bounds the memory
    /// that the receiver allocates. This size is small on an enrollment connection.
    ///
    /// - Throws: ``WireDecodingError`` for bytes that are not a message within `limits`.
    package static func decode(
        _ buffer: ByteBuffer,
        limits: WireLimits = .standard
    ) throws(WireDecodingError) -> EnrollmentMessage {
        let bytes = Array(buffer.readableBytesView)
        guard bytes.count <= limits.enrollmentReplyBytesMax else { throw .limitExceeded(field: "frame") }
        // Frames nest three levels deep.
        let frame: WireEnrollmentFrame = try ProtocolBuffers.decode(bytes, depth: 6)
        switch frame.message {
        case nil: throw .notOneMessage
        case .challenge(let wire): return .challenge(try wire.model())
        case .request(let wire):
            guard bytes.count <= limits.enrollmentRequestBytesMax else { throw .limitExceeded(field: "frame") }
            return .request(try wire.model(limits))
        case .reply(let wire): return .reply(try wire.model(limits))
        }
    }

    /// Returns exactly `count` bytes.
    static func exactly(_ count: Int, _ data: Data, _ field: String) throws(WireDecodingError) -> [UInt8] {
        guard data.count == count else { throw .wrongLength(field: field) }
        return Array(data)
    }

    /// Returns a certificate or a certificate request, which must not be empty.
    static func certificate(
        _ data: Data,
        _ limits: WireLimits,
        _ field: String
    ) throws(WireDecodingError) -> [UInt8] {
        guard !data.isEmpty else { throw .wrongLength(field: field) }
        return try MessageCodec.bytes(data, max: limits.certificateBytesMax, field)
    }

    /// A chain of at least one certificate.
    static func chain(_ chain: [Data], _ limits: WireLimits) throws(WireDecodingError) -> [[UInt8]] {
        guard !chain.isEmpty else { throw .missing(field: "certificates") }
        guard chain.count <= limits.certificatesMax else { throw .limitExceeded(field: "certificates") }
        var certificates = [[UInt8]]()
        for data in chain { certificates.append(try EnrollmentCodec.certificate(data, limits, "certificates")) }
        return certificates
    }
}
