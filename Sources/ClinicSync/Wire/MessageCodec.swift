package import ClinicSyncModel
package import NIOCore

/// Converts messages to bytes and back: one binary WebSocket message between members.
///
/// Encoding is deterministic: equal messages give equal bytes on every node and in every run.
package enum MessageCodec {
    /// Encodes a message from a sender that follows the host of `term`.
    package static func encode(_ message: Message, term: UInt64) -> [UInt8] {
        var frame = WireFrame()
        frame.term = term
        frame.message = MessageCodec.body(of: message)
        return ProtocolBuffers.encode(frame)
    }

    /// Encodes a message into a new buffer, for sending.
    package static func encodeBuffer(_ message: Message, term: UInt64) -> ByteBuffer {
        ByteBuffer(bytes: MessageCodec.encode(message, term: term))
    }

    /// Decodes the output of ``encode(_:term:)`` from a peer that may be dishonest.
    ///
    /// The decoder ignores fields that this version does not know. Every returned message is safe to store and to use
    /// in calculations: its numbers are within ``Bounds``, and vectors ascend.
    ///
    /// - Throws: ``WireDecodingError`` for bytes that are not a message within `limits`.
    package static func decode(
        _ bytes: [UInt8],
        limits: WireLimits = .standard
    ) throws(WireDecodingError) -> (message: Message, term: UInt64) {
        try MessageCodec.checkOutline(bytes, limits)
        // Frames nest four levels deep.
        let frame: WireFrame = try ProtocolBuffers.decode(bytes, depth: 8)
        guard let body = frame.message else { throw .notOneMessage }
        let term = try MessageCodec.term(frame.term, "term")
        return (try MessageCodec.message(of: body, limits), term)
    }

    /// Decodes the readable bytes of `buffer`.
    ///
    /// - Throws: The same errors as ``decode(_:limits:)-([UInt8],_)``.
    package static func decode(
        _ buffer: ByteBuffer,
        limits: WireLimits = .standard
    ) throws(WireDecodingError) -> (message: Message, term: UInt64) {
        try MessageCodec.decode(Array(buffer.readableBytesView), limits: limits)
    }

    private static func checkOutline(_ bytes: [UInt8], _ limits: WireLimits) throws(WireDecodingError) {
        let failure: WireDecodingError? = bytes.withUnsafeBytes { raw in
            do throws(WireDecodingError) {
                _ = try FrameOutline(raw, limits: limits)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    private static func body(of message: Message) -> WireFrame.OneOf_Message {
        switch message {
        case .hello(let hello): .hello(WireHello(hello))
        case .goodbye(let reason, let retryAfter): .goodbye(WireGoodbye(reason, retryAfterMilliseconds: retryAfter))
        case .ping(let ping): .ping(WirePing(ping))
        case .pong(let pong): .pong(WirePong(pong))
        case .chunk(let chunk): .chunk(WireChunk(chunk))
        case .acknowledge(let acknowledgement): .acknowledge(WireAcknowledge(acknowledgement))
        case .digests(let report): .digests(WireDigests(report))
        case .rowHashes(let page): .rowHashes(WireRowHashes(page))
        case .rowStates(let page): .rowStates(WireRowStates(page))
        case .stateRanges(let page): .stateRanges(WireStateRanges(page))
        case .stateWants(let wants): .stateWants(WireStateWants(wants))
        case .syncRequest(let request): .syncRequest(WireSyncRequest(request))
        case .verifyRequest(let request): .verifyRequest(WireSyncRequest(request))
        case .verifyReport(let report): .verifyReport(WireVerifyReport(report))
        case .syncReport(let report): .syncReport(WireSyncReport(report))
        case .revocation(let entry): .revocation(WireRevocation(entry))
        case .memberProof(let chain): .memberProof(WireMemberProof(chain))
        case .hostReport(let report): .hostReport(WireHostReport(report))
        case .handOver: .handOver(WireHandOver())
        case .transferRequest(let node): .transferRequest(WireTransferRequest(node))
        case .loginRequest(let id, let login): .loginRequest(WireLoginRequest(id: id, login))
        case .loginReply(let reply): .loginReply(WireLoginReply(reply))
        case .state(.offer(let offer)): .stateOffer(WireStateOffer(offer))
        case .state(.request(let request)): .stateRequest(WireStateRequest(request))
        case .state(.page(let page)): .statePage(WireStatePage(page))
        case .state(.end(let end)): .stateEnd(WireStateEnd(end))
        }
    }

    private static func message(
        of body: WireFrame.OneOf_Message,
        _ limits: WireLimits
    ) throws(WireDecodingError) -> Message {
        switch body {
        case .hello(let wire): .hello(try wire.model(limits))
        case .goodbye(let wire): try wire.model()
        case .ping(let wire): .ping(Ping(id: wire.id))
        case .pong(let wire): .pong(try wire.model())
        case .chunk(let wire): .chunk(try wire.model(limits))
        case .acknowledge(let wire): .acknowledge(try wire.model(limits))
        case .digests(let wire): .digests(try wire.model(limits))
        case .rowHashes(let wire): .rowHashes(try wire.model(limits))
        case .rowStates(let wire): .rowStates(try wire.model(limits))
        case .stateRanges(let wire): .stateRanges(try wire.model(limits))
        case .stateWants(let wire): .stateWants(try wire.model(limits))
        case .syncRequest(let wire): .syncRequest(try wire.model(limits))
        case .verifyRequest(let wire): .verifyRequest(try wire.model(limits))
        case .verifyReport(let wire): .verifyReport(try wire.model())
        case .syncReport(let wire): .syncReport(try wire.model(limits))
        case .revocation(let wire): .revocation(try wire.model(limits))
        case .memberProof(let wire): .memberProof(try wire.model(limits))
        case .hostReport(let wire): .hostReport(try wire.model(limits))
        case .handOver: .handOver
        case .transferRequest(let wire): .transferRequest(try MessageCodec.node(wire.node, "node"))
        case .loginRequest(let wire): .loginRequest(id: wire.id, try wire.model(limits))
        case .loginReply(let wire): .loginReply(try wire.model(limits))
        case .stateOffer(let wire): .state(.offer(try wire.model()))
        case .stateRequest(let wire): .state(.request(try wire.model(limits)))
        case .statePage(let wire): .state(.page(try wire.model(limits)))
        case .stateEnd(let wire): .state(.end(try wire.model(limits)))
        }
    }
}
