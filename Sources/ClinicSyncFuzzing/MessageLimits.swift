import ClinicSyncModel
import ClinicSyncWire

/// Compares decoded messages with the sizes that ``WireLimits`` promises.
enum MessageLimits {
    private static let limits = WireLimits.standard

    /// Returns the name of a part that is larger than its limit; `nil` when there is none.
    static func fault(of message: Message) -> String? {
        switch message {
        case .hello(let hello): self.fault(of: hello)
        case .goodbye, .ping: nil
        case .pong(let pong): (0..<1 << 47).contains(pong.wallMilliseconds) ? nil : "a wall time out of range"
        case .chunk(let chunk): self.fault(of: chunk)
        case .acknowledge(let acknowledgement):
            self.entries(acknowledgement.applied, "acknowledge")
                ?? acknowledgement.probe.flatMap {
                    self.count(max($0.answers.count, $0.connected.count), self.limits.nodesMax, "probe")
                }
        case .digests(let report):
            self.vector(report.vector)
                ?? self.count(report.tables.count, self.limits.tablesMax, "tables")
                ?? report.tables.lazy.compactMap(self.fault).first
        case .rowHashes(let page): self.fault(of: page)
        case .rowStates(let page):
            self.name(page.table)
                ?? self.count(page.payload.count, self.limits.rowStatesPayloadBytesMax, "row states")
                ?? self.count(page.wanted.count, self.limits.wantedKeysMax, "wanted keys")
                ?? page.wanted.lazy.compactMap(self.key).first
        case .stateRanges(let page):
            self.name(page.table) ?? self.count(page.ranges.count, self.limits.rangesBytesMax, "ranges")
        case .stateWants(let wants):
            self.name(wants.table) ?? self.count(wants.ids.count, self.limits.wantedKeysMax, "wanted states")
        case .syncRequest(let request), .verifyRequest(let request): request.table.flatMap(self.name)
        case .verifyReport(let report): self.rows(report.repairedRows)
        case .syncReport(let report):
            self.rows(report.repairedRows)
                ?? self.count(report.nodes.count, self.limits.nodesMax, "nodes")
                ?? report.nodes.lazy.compactMap { self.name($0.name) }.first
                ?? self.count(report.members.count, self.limits.nodesMax, "members")
                ?? report.members.lazy.compactMap(self.fault).first
        case .hostReport(let report): self.fault(of: report)
        case .handOver, .transferRequest: nil
        case .loginRequest(_, let login): self.fault(of: login)
        case .loginReply(let reply): self.fault(of: reply.outcome)
        case .state(let message): self.fault(of: message)
        case .revocation(let entry): self.count(entry.count, self.limits.revocationBytesMax, "revocation")
        case .memberProof(let chain):
            self.count(chain.count, self.limits.certificatesMax, "certificates")
                ?? chain.lazy.compactMap { self.count($0.count, self.limits.certificateBytesMax, "certificate") }.first
        }
    }

    private static func fault(of message: StateMessage) -> String? {
        switch message {
        case .offer(let offer): self.rows(offer.rows) ?? self.rows(offer.bytes)
        case .request(let request):
            self.vector(request.vector) ?? request.after.flatMap { self.name($0.table) ?? $0.key.flatMap(self.key) }
        case .page(let page):
            self.vector(page.vector) ?? self.name(page.table) ?? page.through.flatMap(self.key)
                ?? self.count(page.payload.count, self.limits.rowStatesPayloadBytesMax, "state page")
        case .end(let end): self.vector(end.vector) ?? self.vector(end.through)
        }
    }

    private static func fault(of login: LoginRequest) -> String? {
        guard login.tokenHash.count == 32 else { return "a token's hash of another length" }
        let texts = [login.sessionID, login.username, login.deviceID, login.deviceName]
        return texts.lazy.compactMap(self.name).first
            ?? self.count(login.userID.byteCount, self.limits.nameBytesMax, "user")
    }

    private static func fault(of outcome: LoginOutcome) -> String? {
        guard case .conflict(let holders) = outcome else { return nil }
        return self.count(holders.count, SessionHolder.countMax, "holders")
            ?? holders.lazy.flatMap { [$0.sessionID, $0.deviceID, $0.deviceName, $0.loginTime, $0.lastActivity] }
            .compactMap(self.name).first
    }

    /// Returns the name of a part that is larger than its limit; `nil` when there is none.
    static func fault(of message: EnrollmentMessage) -> String? {
        switch message {
        case .challenge(let challenge):
            challenge.nonce.count == EnrollmentChallenge.nonceBytes ? nil : "a nonce of another length"
        case .request(.join(let join)):
            join.invitationID.count == JoinRequest.invitationIDBytes && join.proof.count == JoinRequest.proofBytes
                ? self.certificate(join.certificateRequest) ?? self.name(join.nodeName)
                : "a join request's parts have other lengths"
        case .request(.renew(let request)): self.certificate(request)
        case .reply(.renewed(let certificates)): self.chain(certificates)
        case .reply(.refused): nil
        case .reply(.joined(let membership)):
            self.chain(membership.certificates) ?? self.certificate(membership.authority)
                ?? self.name(membership.clinicID) ?? self.name(membership.clinicName)
                ?? self.count(membership.hostAddresses.count, self.limits.addressesMax, "addresses")
                ?? membership.hostAddresses.lazy.compactMap(self.name).first
                ?? self.count(membership.revocations.count, self.limits.revocationsMax, "revocations")
                ?? membership.revocations.lazy.compactMap {
                    self.count($0.count, self.limits.revocationBytesMax, "revocation")
                }
                .first
        }
    }

    private static func fault(of hello: Hello) -> String? {
        self.name(hello.clinicID) ?? self.name(hello.nodeName) ?? self.name(hello.softwareVersion)
            ?? self.addresses(hello.addresses) ?? self.fault(of: hello.hostReport) ?? self.vector(hello.vector)
            ?? self.count(hello.partials.count, self.limits.partialsMax, "partials")
            ?? hello.partials.lazy.compactMap { self.sequence($0.batch.sequence) }.first
    }

    private static func fault(of report: HostReport) -> String? {
        if (report.reign == nil) != (report.role == .searching) { return "a reign where none belongs" }
        return self.addresses(report.addresses)
            ?? self.count(report.successors.count, HostReport.successorsMax, "successors")
            ?? self.count(report.lockedPeers.count, HostReport.lockedPeersMax, "locked peers")
            ?? report.successors.lazy.compactMap { self.addresses($0.addresses) }.first
    }

    private static func fault(of member: MemberReport) -> String? {
        let tables = member.comparison?.tables ?? []
        return self.count(tables.count, MemberReport.Comparison.tablesMax, "tables")
            ?? tables.lazy.compactMap { self.name($0) }.first
            ?? member.lastTry.flatMap { self.name($0.address) ?? self.name($0.answer) }
    }

    private static func addresses(_ addresses: [String]) -> String? {
        self.count(addresses.count, NodeAddresses.addressesMax, "addresses")
            ?? addresses.lazy.compactMap { self.name($0) }.first
    }

    private static func fault(of chunk: BatchChunk) -> String? {
        if (chunk.header != nil) != (chunk.index == 0) { return "a header where none belongs, or none where one does" }
        if let header = chunk.header, header.timestamp.rawValue >= 1 << 63 { return "a stamp cannot be stored" }
        return self.sequence(chunk.batch.sequence) ?? chunk.header.flatMap { self.vector($0.dependencies) }
            ?? self.count(chunk.payload.count, self.limits.chunkPayloadBytesMax, "chunk")
    }

    private static func fault(of table: TableDigest) -> String? {
        self.name(table.name) ?? self.rows(table.rows) ?? table.hidden.flatMap { self.rows($0.rows) }
            ?? table.deleted.flatMap { self.rows($0.rows) }
    }

    private static func fault(of page: RowHashPage) -> String? {
        self.name(page.table) ?? self.count(page.rows.count, self.limits.rowHashesMax, "row hashes")
            ?? page.after.flatMap(self.key) ?? page.through.flatMap(self.key)
            ?? page.rows.lazy.compactMap { self.key($0.key) }.first
    }

    // MARK: - Parts

    private static func vector(_ vector: VersionVector) -> String? {
        self.entries(vector.entries, "vector")
            ?? (zip(vector.entries, vector.entries.dropFirst()).allSatisfy { $0.origin < $1.origin }
                ? nil : "a vector does not ascend")
    }

    private static func entries(_ entries: [VersionVector.Entry], _ what: String) -> String? {
        self.count(entries.count, self.limits.vectorEntriesMax, what)
            ?? entries.lazy.compactMap { self.sequence($0.sequence) }.first
    }

    private static func sequence(_ sequence: UInt64) -> String? {
        (1..<1 << 63).contains(sequence) ? nil : "a sequence cannot be stored"
    }

    private static func rows(_ rows: UInt64) -> String? { rows <= 1 << 48 ? nil : "a number of rows is too large" }

    private static func name(_ name: String) -> String? {
        self.count(name.utf8.count, self.limits.nameBytesMax, "name")
    }

    private static func key(_ key: SQLiteValue) -> String? {
        switch key {
        case .null, .integer, .real: nil
        case .text(let bytes), .blob(let bytes): self.count(bytes.count, self.limits.keyBytesMax, "key")
        }
    }

    private static func chain(_ certificates: [[UInt8]]) -> String? {
        self.count(certificates.count, self.limits.certificatesMax, "certificates")
            ?? certificates.lazy.compactMap(self.certificate).first
    }

    private static func certificate(_ bytes: [UInt8]) -> String? {
        self.count(bytes.count, self.limits.certificateBytesMax, "certificate")
    }

    private static func count(_ count: Int, _ max: Int, _ what: String) -> String? {
        count <= max ? nil : "\(what): \(count) is more than \(max)"
    }
}
