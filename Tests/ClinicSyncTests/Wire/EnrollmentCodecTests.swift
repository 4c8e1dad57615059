import ClinicSyncModel
import ClinicSyncWire
import NIOCore
import Testing

@Suite("Bytes of the enrollment messages")
struct EnrollmentCodecTests {
    /// One message of every kind with its bytes as `protoc --encode` makes them.
    static let golden: [(message: EnrollmentMessage, bytes: String)] = [
        (
            .challenge(EnrollmentChallenge(nonce: Array(0..<32))),
            "0a220a20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        ),
        (
            .request(
                .join(
                    JoinRequest(
                        invitationID: [1, 2, 3, 4, 5, 6, 7, 8],
                        proof: Array("01234567890123456789012345678901".utf8),
                        certificateRequest: [0x30, 0],
                        nodeName: "Kasse"
                    )
                )
            ),
            "12390a370a080102030405060708122030313233343536373839303132333435363738393031323334353637"
                + "383930311a02300022054b61737365"
        ),
        (.request(.renew(certificateRequest: [0x30, 0])), "120412023000"),
        (
            .reply(.joined(membership)),
            "1a500a4e0a036b3771120b5072617869732053c3bc641a0230011a023002220230032a10001122334455"
                + "66778899aabbccddeeff320a5b3a3a315d3a37343433320d31302e302e302e373a373434333a0107"
        ),
        (.reply(.renewed(certificates: [[0x30, 1]])), "1a0612040a023001"),
        (.reply(.refused(.usedCode)), "1a041a020802"),
        (.reply(.refused(.unknownCode)), "1a021a00"),
    ]

    static let membership = Membership(
        clinicID: "k7q",
        clinicName: "Praxis Süd",
        certificates: [[0x30, 1], [0x30, 2]],
        authority: [0x30, 3],
        hostID: MessageSamples.node,
        hostAddresses: ["[::1]:7443", "10.0.0.7:7443"],
        revocations: [[7]]
    )

    @Test("every message has the bytes another implementation gives it, and they read back", arguments: 0..<7)
    func goldenBytes(index: Int) throws {
        let (message, text) = EnrollmentCodecTests.golden[index]
        let bytes = EnrollmentCodec.encode(message)
        #expect(Hex.text(Array(bytes.readableBytesView)) == text)
        #expect(try EnrollmentCodec.decode(ByteBuffer(bytes: Hex.bytes(text))) == message)
    }

    @Test("refusals keep their numbers on the wire", arguments: EnrollmentRefusal.allCases)
    func refusals(reason: EnrollmentRefusal) throws {
        let bytes = EnrollmentCodec.encode(.reply(.refused(reason)))
        #expect(try EnrollmentCodec.decode(bytes) == .reply(.refused(reason)))
        let number = reason.rawValue
        #expect(Array(bytes.readableBytesView) == (number == 0 ? [0x1A, 2, 0x1A, 0] : [0x1A, 4, 0x1A, 2, 8, number]))
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let field: String
        let max: Int
        let make: @Sendable (Int) -> EnrollmentMessage
        var testDescription: String { self.field }
    }

    static let limits = WireLimits.standard

    static let cases = [
        Case(field: "certificate request", max: limits.certificateBytesMax) {
            .request(.renew(certificateRequest: Array(repeating: 1, count: $0)))
        },
        Case(field: "name", max: limits.nameBytesMax) {
            .request(.join(join(name: String(repeating: "a", count: $0))))
        },
        Case(field: "certificates", max: limits.certificatesMax) {
            .reply(.renewed(certificates: Array(repeating: [1], count: $0)))
        },
        Case(field: "addresses", max: limits.addressesMax) { count in
            .reply(.joined(changing { $0.hostAddresses = Array(repeating: "a", count: count) }))
        },
        Case(field: "an address", max: limits.nameBytesMax) { count in
            .reply(.joined(changing { $0.hostAddresses = [String(repeating: "a", count: count)] }))
        },
        Case(field: "revocations", max: limits.revocationsMax) { count in
            .reply(.joined(changing { $0.revocations = Array(repeating: [1], count: count) }))
        },
        Case(field: "a revocation", max: limits.revocationBytesMax) { count in
            .reply(.joined(changing { $0.revocations = [Array(repeating: 1, count: count)] }))
        },
        Case(field: "authority", max: limits.certificateBytesMax) { count in
            .reply(.joined(changing { $0.authority = Array(repeating: 1, count: count) }))
        },
    ]

    private static func join(name: String) -> JoinRequest {
        JoinRequest(
            invitationID: Array(repeating: 0, count: 8),
            proof: Array(repeating: 0, count: 32),
            certificateRequest: [1],
            nodeName: name
        )
    }

    private static func changing(_ change: (inout Membership) -> Void) -> Membership {
        var membership = EnrollmentCodecTests.membership
        change(&membership)
        return membership
    }

    @Test("a message at a limit is accepted, one beyond it refused", arguments: cases)
    func limit(of test: Case) throws {
        let message = test.make(test.max)
        #expect(try EnrollmentCodec.decode(EnrollmentCodec.encode(message)) == message)
        #expect(throws: WireDecodingError.self) {
            try EnrollmentCodec.decode(EnrollmentCodec.encode(test.make(test.max + 1)))
        }
    }

    @Test("fixed lengths are exact and nothing required may be missing")
    func shapes() {
        let wrong: [EnrollmentMessage] = [
            .challenge(EnrollmentChallenge(nonce: Array(repeating: 0, count: 31))),
            .request(.renew(certificateRequest: [])),
            .reply(.renewed(certificates: [])),
            .reply(.renewed(certificates: [[]])),
        ]
        for message in wrong {
            #expect(throws: WireDecodingError.self) { try EnrollmentCodec.decode(EnrollmentCodec.encode(message)) }
        }
        for text in ["", "0a", "1200", "1a00", "0a02", "ff"] {
            #expect(throws: WireDecodingError.self) {
                try EnrollmentCodec.decode(ByteBuffer(bytes: Hex.bytes(text)))
            }
        }
    }
}
