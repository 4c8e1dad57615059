import ClinicSyncModel

extension WireSyncRequest {
    /// The wire form of a request.
    init(_ request: SyncRequest) {
        self.init()
        self.id = request.id
        if let table = request.table { self.table = table }
        self.aboutMembers = request.isAboutMembers
    }

    /// The request.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> SyncRequest {
        SyncRequest(
            id: self.id,
            table: self.hasTable ? try MessageCodec.text(self.table, max: limits.nameBytesMax, "table") : nil,
            isAboutMembers: self.aboutMembers
        )
    }
}

extension WireReconciliationResult {
    /// The wire form of a result.
    init(_ result: ReconciliationResult) {
        self = ProtocolBuffers.wire(result)
    }

    /// The result.
    func model() throws(WireDecodingError) -> ReconciliationResult {
        try ProtocolBuffers.known(self, "result")
    }
}

extension WireVerifyReport {
    /// The wire form of a report.
    init(_ report: VerifyReport) {
        self.init()
        self.id = report.id
        self.result = WireReconciliationResult(report.result)
        self.repairedRows = report.repairedRows
    }

    /// The report.
    func model() throws(WireDecodingError) -> VerifyReport {
        VerifyReport(
            id: self.id,
            result: try self.result.model(),
            repairedRows: try MessageCodec.rows(self.repairedRows, "repaired_rows")
        )
    }
}

extension WireSyncReport {
    /// The wire form of a report.
    init(_ report: SyncReport) {
        self.init()
        self.id = report.id
        self.result = WireReconciliationResult(report.result)
        self.repairedRows = report.repairedRows
        self.nodes = report.nodes.map(Node.init)
        self.members = report.members.map(Member.init)
    }

    /// The report.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> SyncReport {
        guard self.nodes.count <= limits.nodesMax else { throw .limitExceeded(field: "nodes") }
        var nodes = [SyncReport.Node]()
        nodes.reserveCapacity(self.nodes.count)
        for node in self.nodes { nodes.append(try node.model(limits)) }
        guard self.members.count <= limits.nodesMax else { throw .limitExceeded(field: "members") }
        var members = [MemberReport]()
        members.reserveCapacity(self.members.count)
        for member in self.members { members.append(try member.model(limits)) }
        return SyncReport(
            id: self.id,
            result: try self.result.model(),
            repairedRows: try MessageCodec.rows(self.repairedRows, "repaired_rows"),
            nodes: nodes,
            members: members
        )
    }
}

extension WireSyncReport.Node {
    /// The wire form of a node's part.
    init(_ node: SyncReport.Node) {
        self.init()
        self.id = node.id.wireBytes
        self.name = node.name
        self.result = WireReconciliationResult(node.result)
    }

    /// The node's part.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> SyncReport.Node {
        SyncReport.Node(
            id: try MessageCodec.node(self.id, "id"),
            name: try MessageCodec.text(self.name, max: limits.nameBytesMax, "name"),
            result: try self.result.model()
        )
    }
}

extension WireSyncReport.Member {
    /// The wire form of what a host knows of a member.
    init(_ member: MemberReport) {
        self.init()
        self.node = member.node.wireBytes
        self.connected = member.isConnected
        self.joining = member.isJoining
        self.lastSeen = member.lastSeen ?? 0
        if let lag = member.lagBatches { self.lag = lag }
        self.late = member.isLate
        if let comparison = member.comparison {
            self.compared = WireReconciliationResult(comparison.isEqual ? .equal : .differs)
            self.comparedAt = comparison.milliseconds
            self.tables = comparison.tables
        }
        self.address = member.lastTry?.address ?? ""
        self.answer = member.lastTry?.answer ?? ""
    }

    /// What the host knows of the member.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> MemberReport {
        var member = MemberReport(node: try MessageCodec.node(self.node, "node"))
        member.isConnected = self.connected
        member.isJoining = self.joining
        let lastSeen = try MessageCodec.milliseconds(self.lastSeen, "last_seen")
        member.lastSeen = lastSeen == 0 ? nil : lastSeen
        member.lagBatches = self.hasLag ? min(self.lag, Bounds.sequenceMax) : nil
        member.isLate = self.late
        member.comparison = try self.comparison(limits)
        let address = try MessageCodec.text(self.address, max: limits.nameBytesMax, "address")
        let answer = try MessageCodec.text(self.answer, max: limits.nameBytesMax, "answer")
        if !address.isEmpty { member.lastTry = MemberReport.Try(address: address, answer: answer) }
        return member
    }

    private func comparison(_ limits: WireLimits) throws(WireDecodingError) -> MemberReport.Comparison? {
        guard self.tables.count <= MemberReport.Comparison.tablesMax else { throw .limitExceeded(field: "tables") }
        for table in self.tables { _ = try MessageCodec.text(table, max: limits.nameBytesMax, "tables") }
        let result = try self.compared.model()
        let milliseconds = try MessageCodec.milliseconds(self.comparedAt, "compared_at")
        guard milliseconds > 0 else { return nil }
        return MemberReport.Comparison(isEqual: result == .equal, milliseconds: milliseconds, tables: self.tables)
    }
}
