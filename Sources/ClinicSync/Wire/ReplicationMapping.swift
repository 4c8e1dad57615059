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
    }

    /// The acknowledgement.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> Acknowledgement {
        Acknowledgement(
            applied: try self.applied.entries(limits, "applied"),
            creditBytes: self.creditBytes,
            wanted: try self.wantedModels(limits),
            unproven: try self.unprovenModels(limits)
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
