import ClinicSyncModel

extension MessageCodec {
    /// Addresses of one node.
    static func addresses(
        _ addresses: [String],
        _ limits: WireLimits,
        _ field: String
    ) throws(WireDecodingError) -> [String] {
        guard addresses.count <= NodeAddresses.addressesMax else { throw .limitExceeded(field: field) }
        for address in addresses { _ = try MessageCodec.text(address, max: limits.nameBytesMax, field) }
        return addresses
    }
}

extension WireCandidacy {
    /// The wire form of a candidacy.
    init(_ candidacy: Candidacy) {
        self.init()
        self.priority = candidacy.priority
        self.coverage = candidacy.coverage
        self.uptimeBucket = candidacy.uptimeBucket
        self.node = candidacy.node.wireBytes
    }

    /// The candidacy.
    func model() throws(WireDecodingError) -> Candidacy {
        Candidacy(
            priority: self.priority,
            coverage: self.coverage,
            uptimeBucket: self.uptimeBucket,
            node: try MessageCodec.node(self.node, "candidacy.node")
        )
    }
}

extension WireReign {
    /// The wire form of a reign.
    init(_ reign: Reign) {
        self.init()
        self.term = reign.term
        self.candidacy = WireCandidacy(reign.candidacy)
    }

    /// The reign.
    func model() throws(WireDecodingError) -> Reign {
        guard self.hasCandidacy else { throw .missing(field: "reign.candidacy") }
        let term = try MessageCodec.term(self.term, "reign.term")
        guard term > 0 else { throw .outOfRange(field: "reign.term") }
        return Reign(term: term, candidacy: try self.candidacy.model())
    }
}

extension WireHostReport {
    /// The wire form of a report.
    init(_ report: HostReport) {
        self.init()
        self.role = ProtocolBuffers.wire(report.role)
        self.term = report.term
        if let reign = report.reign { self.reign = WireReign(reign) }
        self.addresses = report.addresses
        self.candidacy = WireCandidacy(report.candidacy)
        self.successors = report.successors.map(Successor.init)
        self.lockedSince = report.lockedSince ?? 0
        self.lockedPeers = report.lockedPeers.map(LockedPeer.init)
    }

    /// The report.
    ///
    /// This method checks whether the fields about the host are consistent. A host's reign must be its own. A report
    /// has no reign if and only if the node is searching.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> HostReport {
        let role: MemberRole = try ProtocolBuffers.known(self.role, "role")
        guard self.hasCandidacy else { throw .missing(field: "candidacy") }
        guard self.hasReign == (role != .searching) else { throw .missing(field: "reign") }
        let candidacy = try self.candidacy.model()
        let reign: Reign? = self.hasReign ? try self.reign.model() : nil
        let term = try MessageCodec.term(self.term, "term")
        if let reign, term < reign.term || (role == .host) != (reign.host == candidacy.node) {
            throw .outOfRange(field: "reign")
        }
        let lockedSince = try MessageCodec.milliseconds(self.lockedSince, "locked_since")
        return HostReport(
            role: role,
            term: term,
            reign: reign,
            addresses: try MessageCodec.addresses(self.addresses, limits, "addresses"),
            candidacy: candidacy,
            successors: try self.successorModels(limits),
            lockedSince: lockedSince == 0 ? nil : lockedSince,
            lockedPeers: try self.lockedModels()
        )
    }

    private func lockedModels() throws(WireDecodingError) -> [HostReport.LockedPeer] {
        guard self.lockedPeers.count <= HostReport.lockedPeersMax else { throw .limitExceeded(field: "locked_peers") }
        var locked = [HostReport.LockedPeer]()
        for peer in self.lockedPeers {
            locked.append(
                HostReport.LockedPeer(
                    node: try MessageCodec.node(peer.node, "locked_peer.node"),
                    since: try MessageCodec.milliseconds(peer.since, "locked_peer.since")
                )
            )
        }
        return locked
    }

    private func successorModels(_ limits: WireLimits) throws(WireDecodingError) -> [NodeAddresses] {
        guard self.successors.count <= HostReport.successorsMax else { throw .limitExceeded(field: "successors") }
        var successors = [NodeAddresses]()
        for successor in self.successors {
            successors.append(
                NodeAddresses(
                    node: try MessageCodec.node(successor.node, "successor.node"),
                    addresses: try MessageCodec.addresses(successor.addresses, limits, "successor.addresses")
                )
            )
        }
        return successors
    }
}

extension WireHostReport.LockedPeer {
    /// The wire form of an entry.
    init(_ peer: HostReport.LockedPeer) {
        self.init()
        self.node = peer.node.wireBytes
        self.since = peer.since
    }
}

extension WireHostReport.Successor {
    /// The wire form of a successor.
    init(_ successor: NodeAddresses) {
        self.init()
        self.node = successor.node.wireBytes
        self.addresses = successor.addresses
    }
}

extension WireTransferRequest {
    /// The wire form of a request to hand over the host role.
    init(_ node: NodeID) {
        self.init()
        self.node = node.wireBytes
    }
}
