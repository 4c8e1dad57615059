import ClinicSyncModel
import FoundationEssentials

extension WireRevocation {
    /// The wire form of a signed revocation.
    init(_ entry: [UInt8]) {
        self.init()
        self.entry = Data(entry)
    }

    /// The signed revocation.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> [UInt8] {
        guard !self.entry.isEmpty else { throw .missing(field: "entry") }
        return try MessageCodec.bytes(self.entry, max: limits.revocationBytesMax, "entry")
    }
}

extension WireMemberProof {
    /// The wire form of a proof of membership.
    init(_ chain: [[UInt8]]) {
        self.init()
        self.certificates = chain.map { Data($0) }
    }

    /// The certificates, the member's own first.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> [[UInt8]] {
        try EnrollmentCodec.chain(self.certificates, limits)
    }
}

extension WireChallenge {
    /// The wire form of a challenge.
    init(_ challenge: EnrollmentChallenge) {
        self.init()
        self.nonce = Data(challenge.nonce)
    }

    /// The challenge.
    func model() throws(WireDecodingError) -> EnrollmentChallenge {
        EnrollmentChallenge(
            nonce: try EnrollmentCodec.exactly(EnrollmentChallenge.nonceBytes, self.nonce, "nonce")
        )
    }
}

extension WireEnrollmentRequest {
    /// The wire form of a request.
    init(_ request: EnrollmentRequest) {
        self.init()
        switch request {
        case .join(let join): self.request = .join(Join(join))
        case .renew(let certificateRequest): self.request = .renew(Data(certificateRequest))
        }
    }

    /// The request.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> EnrollmentRequest {
        switch self.request {
        case nil: throw .missing(field: "request")
        case .join(let join): .join(try join.model(limits))
        case .renew(let bytes):
            .renew(certificateRequest: try EnrollmentCodec.certificate(bytes, limits, "renew"))
        }
    }
}

extension WireEnrollmentRequest.Join {
    /// The wire form of a request to join.
    init(_ request: JoinRequest) {
        self.init()
        self.invitationID = Data(request.invitationID)
        self.proof = Data(request.proof)
        self.certificateRequest = Data(request.certificateRequest)
        self.nodeName = request.nodeName
    }

    /// The request to join.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> JoinRequest {
        JoinRequest(
            invitationID: try EnrollmentCodec.exactly(
                JoinRequest.invitationIDBytes,
                self.invitationID,
                "invitation_id"
            ),
            proof: try EnrollmentCodec.exactly(JoinRequest.proofBytes, self.proof, "proof"),
            certificateRequest: try EnrollmentCodec.certificate(
                self.certificateRequest,
                limits,
                "certificate_request"
            ),
            nodeName: try MessageCodec.text(self.nodeName, max: limits.nameBytesMax, "node_name")
        )
    }
}

extension WireEnrollmentReply {
    /// The wire form of a reply.
    init(_ reply: EnrollmentReply) {
        self.init()
        switch reply {
        case .joined(let membership):
            self.reply = .joined(Membership(membership))
        case .renewed(let certificates):
            var renewal = Renewal()
            renewal.certificates = certificates.map { Data($0) }
            self.reply = .renewed(renewal)
        case .refused(let reason):
            var refusal = Refusal()
            refusal.reason = ProtocolBuffers.wire(reason)
            self.reply = .refused(refusal)
        }
    }

    /// The reply.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> EnrollmentReply {
        switch self.reply {
        case nil: throw .missing(field: "reply")
        case .joined(let membership): return .joined(try membership.model(limits))
        case .renewed(let renewal):
            return .renewed(certificates: try EnrollmentCodec.chain(renewal.certificates, limits))
        case .refused(let refusal):
            return .refused(try ProtocolBuffers.known(refusal.reason, "reason"))
        }
    }
}

extension WireEnrollmentReply.Membership {
    /// The wire form of a membership.
    init(_ membership: ClinicSyncModel.Membership) {
        self.init()
        self.clinicID = membership.clinicID
        self.clinicName = membership.clinicName
        self.certificates = membership.certificates.map { Data($0) }
        self.authority = Data(membership.authority)
        self.hostID = membership.hostID.wireBytes
        self.hostAddresses = membership.hostAddresses
        self.revocations = membership.revocations.map { Data($0) }
    }

    /// The membership.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> ClinicSyncModel.Membership {
        guard self.hostAddresses.count <= limits.addressesMax else { throw .limitExceeded(field: "host_addresses") }
        guard self.revocations.count <= limits.revocationsMax else { throw .limitExceeded(field: "revocations") }
        var addresses = [String]()
        for address in self.hostAddresses {
            addresses.append(try MessageCodec.text(address, max: limits.nameBytesMax, "host_addresses"))
        }
        var revocations = [[UInt8]]()
        for entry in self.revocations {
            revocations.append(try MessageCodec.bytes(entry, max: limits.revocationBytesMax, "revocations"))
        }
        return ClinicSyncModel.Membership(
            clinicID: try MessageCodec.text(self.clinicID, max: limits.nameBytesMax, "clinic_id"),
            clinicName: try MessageCodec.text(self.clinicName, max: limits.nameBytesMax, "clinic_name"),
            certificates: try EnrollmentCodec.chain(self.certificates, limits),
            authority: try EnrollmentCodec.certificate(self.authority, limits, "authority"),
            hostID: try MessageCodec.node(self.hostID, "host_id"),
            hostAddresses: addresses,
            revocations: revocations
        )
    }
}
