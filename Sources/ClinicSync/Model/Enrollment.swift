/// The three messages of an enrollment, in which a PC becomes a member or a member renews its certificate.
///
/// An enrollment has a connection of its own: challenge, request, reply, close. `docs/PROTOCOL.md` shows the
/// exchange.
package enum EnrollmentMessage: Sendable, Hashable {
    /// The node that is asked sends it at once.
    case challenge(EnrollmentChallenge)
    /// The PC that asks sends it.
    case request(EnrollmentRequest)
    /// The node that is asked sends it, and then closes.
    case reply(EnrollmentReply)
}

/// A number that is used once, so that a recorded request is not valid again.
package struct EnrollmentChallenge: Sendable, Hashable {
    /// Bytes of the number.
    package static let nonceBytes = 32

    /// The number.
    package var nonce: [UInt8]

    /// Makes a challenge.
    package init(nonce: [UInt8]) { self.nonce = nonce }
}

/// The request of a PC to a node that may sign certificates.
package enum EnrollmentRequest: Sendable, Hashable {
    /// The PC wants to become a member with a join code.
    case join(JoinRequest)
    /// The PC wants a new certificate for the key of its old certificate. `certificateRequest` is a PKCS #10 request
    /// in DER.
    case renew(certificateRequest: [UInt8])
}

/// The request of a PC that wants to become a member.
package struct JoinRequest: Sendable, Hashable {
    /// Bytes of ``invitationID``.
    package static let invitationIDBytes = 8
    /// Bytes of ``proof``.
    package static let proofBytes = 32

    /// The invitation's id.
    ///
    /// It is derived from the code's secret, and does not reveal the secret.
    package var invitationID: [UInt8]
    /// HMAC-SHA-256 with the code's secret over the challenge, both ends' certificates and the certificate request.
    package var proof: [UInt8]
    /// A PKCS #10 request in DER, for the key of the certificate with which the PC connected.
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
    /// The PC is a member. The membership is what the new node writes into its files.
    case joined(Membership)
    /// The new certificate in DER, then the certificates between it and the authority's.
    case renewed(certificates: [[UInt8]])
    /// The node refuses the request.
    case refused(EnrollmentRefusal)
}

/// Why an enrollment was refused.
package enum EnrollmentRefusal: UInt8, Sendable, Hashable, CaseIterable {
    /// No open invitation has this code.
    case unknownCode = 0
    /// The code has expired.
    case expiredCode = 1
    /// The code has no uses left.
    case usedCode = 2
    /// Too many wrong codes came from this address.
    case lockedOut = 3
    /// The node that was asked has no right to sign.
    case noSigningRight = 4
    /// The asking node was revoked.
    case revoked = 5
    /// The request is invalid, for example for another key, or with a name that is too long.
    case malformed = 6
    /// The node has too many enrollments at once.
    case overloaded = 7
    /// The node could not write its files.
    case storageFailed = 8
    /// Another PC of the clinic has the name.
    case nameTaken = 9
}

/// The facts that a new member needs.
package struct Membership: Sendable, Hashable {
    /// The clinic's id.
    package var clinicID: String
    /// The clinic's name for people.
    package var clinicName: String
    /// The new node's certificate in DER, then the certificates between it and the authority's.
    package var certificates: [[UInt8]]
    /// The certificate of the clinic's authority, in DER.
    package var authority: [UInt8]
    /// The host's id.
    package var hostID: NodeID
    /// The host's addresses, each `address:port`, in the order in which to try them.
    package var hostAddresses: [String]
    /// Signed revocations, so that the new node trusts no revoked node, even before its first sync.
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
