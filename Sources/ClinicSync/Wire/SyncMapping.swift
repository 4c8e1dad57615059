import ClinicSyncModel

extension WireSyncRequest {
    /// The wire form of a request.
    init(_ request: SyncRequest) {
        self.init()
        self.id = request.id
        if let table = request.table { self.table = table }
    }

    /// The request.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> SyncRequest {
        guard self.hasTable else { return SyncRequest(id: self.id, table: nil) }
        return SyncRequest(
            id: self.id,
            table: try MessageCodec.text(self.table, max: limits.nameBytesMax, "table")
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
    }

    /// The report.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> SyncReport {
        guard self.nodes.count <= limits.nodesMax else { throw .limitExceeded(field: "nodes") }
        var nodes = [SyncReport.Node]()
        nodes.reserveCapacity(self.nodes.count)
        for node in self.nodes { nodes.append(try node.model(limits)) }
        return SyncReport(
            id: self.id,
            result: try self.result.model(),
            repairedRows: try MessageCodec.rows(self.repairedRows, "repaired_rows"),
            nodes: nodes
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
