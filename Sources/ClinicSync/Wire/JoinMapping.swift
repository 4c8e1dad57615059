import ClinicSyncModel
import FoundationEssentials

extension WireJoinRequest {
    /// The wire form of a request.
    init(_ request: JoinRequest) {
        self.init()
        self.secret = Data(request.secret)
        self.nodeID = request.nodeID.wireBytes
        self.nodeName = request.nodeName
    }

    /// The request.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> JoinRequest {
        JoinRequest(
            secret: try MessageCodec.bytes(self.secret, max: limits.secretBytesMax, "secret"),
            nodeID: try MessageCodec.node(self.nodeID, "node_id"),
            nodeName: try MessageCodec.text(self.nodeName, max: limits.nameBytesMax, "node_name")
        )
    }
}

extension WireJoinReply {
    /// The wire form of a reply.
    init(_ reply: JoinReply) {
        self.init()
        switch reply {
        case .accepted(let membership): self.reply = .accepted(Membership(membership))
        case .refused(let sentence): self.reply = .refused(sentence)
        }
    }

    /// The reply.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> JoinReply {
        switch self.reply {
        case nil:
            throw .missing(field: "reply")
        case .accepted(let membership):
            .accepted(try membership.model(limits))
        case .refused(let sentence):
            .refused(try MessageCodec.text(sentence, max: limits.sentenceBytesMax, "refused"))
        }
    }
}

extension WireJoinReply.Membership {
    /// The wire form of a membership.
    init(_ membership: ClinicSyncModel.Membership) {
        self.init()
        self.clinicID = membership.clinicID
        self.clinicName = membership.clinicName
        self.clinicSecret = Data(membership.clinicSecret)
        self.hostID = membership.hostID.wireBytes
        self.hostAddress = membership.hostAddress
    }

    /// The membership.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> ClinicSyncModel.Membership {
        ClinicSyncModel.Membership(
            clinicID: try MessageCodec.text(self.clinicID, max: limits.nameBytesMax, "clinic_id"),
            clinicName: try MessageCodec.text(self.clinicName, max: limits.nameBytesMax, "clinic_name"),
            clinicSecret: try MessageCodec.bytes(
                self.clinicSecret,
                max: limits.secretBytesMax,
                "clinic_secret"
            ),
            hostID: try MessageCodec.node(self.hostID, "host_id"),
            hostAddress: try MessageCodec.text(self.hostAddress, max: limits.nameBytesMax, "host_address")
        )
    }
}
