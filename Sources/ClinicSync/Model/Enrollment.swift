/// The three messages of an enrollment: how a PC becomes a member, and how a member renews its certificate.
///
/// Spoken on a connection of its own: challenge, request, reply, closed. `docs/PROTOCOL.md` shows the exchange.
package enum EnrollmentMessage: Sendable, Hashable {
    /// From the node that is asked, at once.
    case challenge(EnrollmentChallenge)
    /// From the PC that asks.
    case request(EnrollmentRequest)
    /// From the node that is asked; it closes after it.
    case reply(EnrollmentReply)
}

/// A number used once, so that no recorded request is good a second time.
package struct EnrollmentChallenge: Sendable, Hashable {
    /// Bytes of the number.
    package static let nonceBytes = 32

    /// The number.
    package var nonce: [UInt8]

    /// Makes a challenge.
    package init(nonce: [UInt8]) { self.nonce = nonce }
}

/// What a PC wants of a node that may sign certificates.
package enum EnrollmentRequest: Sendable, Hashable {
    /// To become a member with a join code.
    case join(JoinRequest)
    /// To have a new certificate for the key of its old one. `certificateRequest` is a PKCS #10 request in DER.
    case renew(certificateRequest: [UInt8])
}

/// A PC asks to become a member.
package struct JoinRequest: Sendable, Hashable {
    /// Bytes of ``invitationID``.
    package static let invitationIDBytes = 8
    /// Bytes of ``proof``.
    package static let proofBytes = 32

    /// Which invitation: derived from the code's secret, but says nothing about it.
    package var invitationID: [UInt8]
    /// HMAC-SHA-256 with the code's secret over the challenge, both ends' certificates and the certificate request.
    package var proof: [UInt8]
    /// A PKCS #10 request in DER for the key of the certificate that the PC connected with.
    package var certificateRequest: [UInt8]
    /// The PC's name for people, at most 64 bytes.
    package var nodeName: String

    /// Makes a request.
    package init(invitationID: [UInt8], proof: [UInt8], certificateRequest: [UInt8], nodeName: String) {
        self.invitationID = invitationID
        self.proof = proof
        self.certificateRequest = certificateRequest
        self.nodeName = nodeName
    }
}

/// The answer to an enrollment request.
package enum EnrollmentReply: Sendable, Hashable {
    /// Welcome: what the new node writes into its files.
    case joined(Membership)
    /// The new certificate in DER, followed by those up to, but without, the authority's.
    case renewed(certificates: [[UInt8]])
    /// No.
    case refused(EnrollmentRefusal)
}

/// Why an enrollment was refused.
package enum EnrollmentRefusal: UInt8, Sendable, Hashable, CaseIterable {
    /// No open invitation has this code.
    case unknownCode = 0
    /// The code's time is over.
    case expiredCode = 1
    /// The code was used as often as it may be.
    case usedCode = 2
    /// Too many wrong codes came from this address.
    case lockedOut = 3
    /// The node that was asked has no right to sign.
    case noSigningRight = 4
    /// The asking node was revoked.
    case revoked = 5
    /// The request makes no sense: another key, a name too long.
    case malformed = 6
    /// Too much to do.
    case overloaded = 7
    /// The node could not write its files.
    case storageFailed = 8
}

/// What a new member needs to know.
package struct Membership: Sendable, Hashable {
    /// The clinic's id.
    package var clinicID: String
    /// The clinic's name for people.
    package var clinicName: String
    /// The new node's certificate in DER, followed by those up to, but without, the authority's.
    package var certificates: [[UInt8]]
    /// The certificate of the clinic's authority, in DER.
    package var authority: [UInt8]
    /// The host's id.
    package var hostID: NodeID
    /// Where the host listens, `address:port`, in the order in which to try.
    package var hostAddresses: [String]
    /// Signed revocations, so that the new node trusts none of those nodes even before its first sync.
    package var revocations: [[UInt8]]

    /// Makes a membership.
    package init(
        clinicID: String,
        clinicName: String,
        certificates: [[UInt8]],
        authority: [UInt8],
        hostID: NodeID,
        hostAddresses: [String],
        revocations: [[UInt8]]
    ) {
        self.clinicID = clinicID
        self.clinicName = clinicName
        self.certificates = certificates
        self.authority = authority
        self.hostID = hostID
        self.hostAddresses = hostAddresses
        self.revocations = revocations
    }
}
