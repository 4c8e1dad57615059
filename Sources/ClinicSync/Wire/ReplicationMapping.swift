import ClinicSyncModel
import FoundationEssentials

extension WireChunk {
    /// The wire form of a chunk.
    init(_ chunk: BatchChunk) {
        self.init()
        self.batch = WireBatchName(chunk.batch)
        self.index = chunk.index
        if let header = chunk.header { self.header = Header(header) }
        self.isLast = chunk.isLast
        self.checksum = chunk.checksum
        self.payload = Data(chunk.payload)
    }

    /// The chunk.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> BatchChunk {
        if self.index == 0, !self.hasHeader { throw .missing(field: "header") }
        if self.index > 0, self.hasHeader { throw .unexpected(field: "header") }
        // A chunk that is not the last has a successor.
        guard self.isLast || self.index < Bounds.chunkIndexMax else { throw .outOfRange(field: "index") }
        return BatchChunk(
            batch: try self.batch.model(),
            index: try MessageCodec.chunkIndex(self.index, "index"),
            header: self.hasHeader ? try self.header.model(limits) : nil,
            isLast: self.isLast,
            checksum: self.checksum,
            payload: try MessageCodec.bytes(self.payload, max: limits.chunkPayloadBytesMax, "payload")
        )
    }
}

extension WireChunk.Header {
    /// The wire form of a header.
    init(_ header: BatchHeader) {
        self.init()
        self.timestamp = header.timestamp.rawValue
        self.dependencies = WireVector(header.dependencies.entries)
        self.schemaVersion = header.schemaVersion
    }

    /// The header.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> BatchHeader {
        BatchHeader(
            timestamp: try MessageCodec.timestamp(self.timestamp, "timestamp"),
            dependencies: try self.dependencies.vector(limits, "dependencies"),
            schemaVersion: self.schemaVersion
        )
    }
}

extension WireAcknowledge {
    /// The wire form of an acknowledgement.
    init(_ acknowledgement: Acknowledgement) {
        self.init()
        self.applied = WireVector(acknowledgement.applied)
        self.creditBytes = acknowledgement.creditBytes
        self.wanted = acknowledgement.wanted.map { WireBatchName($0.batch) }
        let chunks = acknowledgement.wanted.map(\.index)
        if chunks.contains(where: { $0 > 0 }) { self.wantedFrom = chunks }
        self.unproven = acknowledgement.unproven.map { Data($0.bytes) }
        if let probe = acknowledgement.probe { self.probe = WireProbeAnswers(probe) }
    }

    /// The acknowledgement.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> Acknowledgement {
        Acknowledgement(
            applied: try self.applied.entries(limits, "applied"),
            creditBytes: self.creditBytes,
            wanted: try self.wantedModels(limits),
            unproven: try self.unprovenModels(limits),
            probe: self.hasProbe ? try self.probe.model(limits) : nil
        )
    }

    private func unprovenModels(_ limits: WireLimits) throws(WireDecodingError) -> [NodeID] {
        guard self.unproven.count <= limits.unprovenNodesMax else { throw .limitExceeded(field: "unproven") }
        var nodes: [NodeID] = []
        for node in self.unproven { nodes.append(try MessageCodec.node(node, "unproven")) }
        return nodes
    }

    private func wantedModels(_ limits: WireLimits) throws(WireDecodingError) -> [LostChunk] {
        guard self.wanted.count <= limits.wantedBatchesMax else { throw .limitExceeded(field: "wanted") }
        guard self.wantedFrom.count <= self.wanted.count else { throw .limitExceeded(field: "wanted_from") }
        var wanted: [LostChunk] = []
        for (place, name) in self.wanted.enumerated() {
            let index = place < self.wantedFrom.count ? self.wantedFrom[place] : 0
            let chunk = try MessageCodec.chunkIndex(index, "wanted_from")
            wanted.append(LostChunk(batch: try name.model(), index: chunk))
        }
        return wanted
    }
}

extension WireProbeAnswers {
    /// The wire form of answers.
    init(_ answers: ProbeAnswers) {
        self.init()
        self.prober = answers.prober.wireBytes
        self.number = answers.number
        self.nodes = WireProbeAnswers.bytes(answers.answers.map(\.node))
        self.milliseconds = answers.answers.map(\.milliseconds)
        self.connected = WireProbeAnswers.bytes(answers.connected)
    }

    /// The answers.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> ProbeAnswers {
        let nodes = try WireProbeAnswers.nodes(self.nodes, limits, "nodes")
        guard nodes.count == self.milliseconds.count else { throw .wrongLength(field: "milliseconds") }
        var answers: [ProbeAnswers.Answer] = []
        answers.reserveCapacity(nodes.count)
        for (node, milliseconds) in zip(nodes, self.milliseconds) {
            let at = try MessageCodec.milliseconds(milliseconds, "milliseconds")
            answers.append(ProbeAnswers.Answer(node: node, milliseconds: at))
        }
        return ProbeAnswers(
            prober: try MessageCodec.node(self.prober, "prober"),
            number: self.number,
            answers: answers,
            connected: try WireProbeAnswers.nodes(self.connected, limits, "connected")
        )
    }

    private static func bytes(_ nodes: [NodeID]) -> Data {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(nodes.count * 16)
        for node in nodes { MessageCodec.append(high: node.high, low: node.low, to: &bytes) }
        return Data(bytes)
    }

    private static func nodes(
        _ data: Data,
        _ limits: WireLimits,
        _ field: String
    ) throws(WireDecodingError) -> [NodeID] {
        guard data.count.isMultiple(of: 16) else { throw .wrongLength(field: field) }
        guard data.count / 16 <= limits.nodesMax else { throw .limitExceeded(field: field) }
        let bytes = Array(data)
        return (0..<bytes.count / 16).map { place in
            let (high, low) = MessageCodec.halves(of: bytes, at: place)
            return NodeID(high: high, low: low)
        }
    }
}
