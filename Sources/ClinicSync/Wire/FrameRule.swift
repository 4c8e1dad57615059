import ClinicSyncModel
import FoundationEssentials

import protocol SwiftProtobuf.Message

/// The limits of one kind of message, checked on the bytes before the library builds the message.
///
/// The field numbers come from the generated code: decoding gives the numbers of messages, and encoding gives the
/// numbers of fields. The code does not compile until a new message has its rule in ``rule(for:)``.
struct FrameRule: Sendable {
    /// A repeated field whose elements the outline counts.
    struct Repeated: Sendable {
        /// The field's number.
        var number: Int
        /// Its name in `clinicsync.proto`.
        var name: String
        /// The largest number of elements.
        var max: @Sendable (WireLimits) -> Int
    }

    /// The largest size of the message in bytes.
    var bytesMax: @Sendable (WireLimits) -> Int = { $0.controlMessageBytesMax }
    /// The repeated fields whose elements are expensive to build.
    var repeated: [Repeated] = []
    /// The number of the field that contains a host report.
    ///
    /// The report's size bounds its own elements.
    var report: Int?

    /// The rules by the number of the message in `Frame.message`.
    static let all = FrameRule.makeAll()

    /// The largest number that is tried when the rules are made.
    private static let numbersMax = 255

    private static func makeAll() -> [Int: FrameRule] {
        var rules: [Int: FrameRule] = [:]
        for number in 1...FrameRule.numbersMax {
            // The bytes are the tag of a length-delimited field and an empty message. A tag of two bytes suffices for
            // numbers below 2 048.
            let tag = number << 3 | 2
            let bytes = tag < 0x80 ? [UInt8(tag), 0] : [UInt8(tag & 0x7F | 0x80), UInt8(tag >> 7), 0]
            if let message = FrameRule.message(in: bytes) { rules[number] = FrameRule.rule(for: message) }
        }
        return rules
    }

    private static func message(in bytes: [UInt8]) -> WireFrame.OneOf_Message? {
        do {
            let frame: WireFrame = try ProtocolBuffers.decode(bytes, depth: 2)
            return frame.message
        } catch {
            // The number belongs to a field of another type.
            return nil
        }
    }

    private static func rule(for message: WireFrame.OneOf_Message) -> FrameRule {
        switch message {
        case .hello:
            FrameRule(
                repeated: [
                    self.repeated("partials", { $0.partialsMax }, in: WireHello()) { $0.partials = [.init()] },
                    self.repeated("addresses", { _ in NodeAddresses.addressesMax }, in: WireHello()) {
                        $0.addresses = ["a"]
                    },
                ],
                report: self.number(in: WireHello()) { $0.hostReport = WireHostReport() }
            )
        case .chunk, .statePage: FrameRule(bytesMax: { $0.messageBytesMax })
        case .digests:
            FrameRule(repeated: [self.repeated("tables", { $0.tablesMax }, in: WireDigests()) { $0.tables = [.init()] }]
            )
        case .rowHashes:
            FrameRule(
                bytesMax: { $0.messageBytesMax },
                repeated: [self.repeated("keys", { $0.rowHashesMax }, in: WireRowHashes()) { $0.keys = [.init()] }]
            )
        case .rowStates:
            FrameRule(
                bytesMax: { $0.messageBytesMax },
                repeated: [self.repeated("wanted", { $0.wantedKeysMax }, in: WireRowStates()) { $0.wanted = [.init()] }]
            )
        case .syncReport:
            FrameRule(
                repeated: [
                    self.repeated("nodes", { $0.nodesMax }, in: WireSyncReport()) { $0.nodes = [.init()] },
                    self.repeated("members", { $0.nodesMax }, in: WireSyncReport()) { $0.members = [.init()] },
                ]
            )
        case .hostReport:
            FrameRule(
                bytesMax: { $0.reportBytesMax },
                repeated: [
                    self.repeated("successors", { _ in HostReport.successorsMax }, in: WireHostReport()) {
                        $0.successors = [.init()]
                    },
                    self.repeated("locked_peers", { _ in HostReport.lockedPeersMax }, in: WireHostReport()) {
                        $0.lockedPeers = [.init()]
                    },
                ]
            )
        case .handOver, .transferRequest: FrameRule(bytesMax: { $0.reportBytesMax })
        case .loginRequest, .loginReply: FrameRule(bytesMax: { $0.loginBytesMax })
        case .memberProof:
            FrameRule(
                repeated: [
                    self.repeated("certificates", { $0.certificatesMax }, in: WireMemberProof()) {
                        $0.certificates = [Data([0])]
                    }
                ]
            )
        case .acknowledge:
            FrameRule(
                repeated: [
                    self.repeated("wanted", { $0.wantedBatchesMax }, in: WireAcknowledge()) { $0.wanted = [.init()] },
                    self.repeated("unproven", { $0.unprovenNodesMax }, in: WireAcknowledge()) {
                        $0.unproven = [Data([0])]
                    },
                ]
            )
        case .goodbye, .ping, .pong, .syncRequest, .verifyRequest, .verifyReport, .revocation, .stateOffer,
            .stateRequest, .stateEnd, .stateRanges, .stateWants:
            FrameRule()
        }
    }

    private static func repeated<Body: Message>(
        _ name: String,
        _ max: @escaping @Sendable (WireLimits) -> Int,
        in message: Body,
        _ set: (inout Body) -> Void
    ) -> Repeated {
        Repeated(number: self.number(in: message, set), name: name, max: max)
    }

    /// Returns the number of the only field that `set` fills in an empty message, as the generated code writes it.
    private static func number<Body: Message>(in message: Body, _ set: (inout Body) -> Void) -> Int {
        var message = message
        set(&message)
        let bytes = ProtocolBuffers.encode(message)
        let number: Int? = bytes.withUnsafeBytes { raw in
            var reader = FieldReader(raw, in: 0..<raw.count)
            do { return try reader.next()?.number } catch { return nil }
        }
        guard let number else { preconditionFailure("a message with one field has no field when it is encoded") }
        return number
    }
}
