import ClinicSyncModel
import FoundationEssentials

extension WireHello {
    /// The wire form of a hello.
    init(_ hello: Hello) {
        self.init()
        self.protocolVersion = hello.protocolVersion
        self.clinicID = hello.clinicID
        self.nodeName = hello.nodeName
        self.softwareVersion = hello.softwareVersion
        self.schemaVersion = hello.schemaVersion
        self.addresses = hello.addresses
        self.hostReport = WireHostReport(hello.hostReport)
        self.wallMilliseconds = hello.wallMilliseconds
        self.vector = WireVector(hello.vector.entries)
        self.partials = hello.partials.map(Partial.init)
        self.creditBytes = hello.creditBytes
        self.runID = hello.runID
        self.takesState = hello.takesState
        if hello.knowsEpochs || hello.epoch != nil { self.epoch = Data(hello.epoch?.statement ?? []) }
        self.gathersProbes = hello.gathersProbes
        self.reportsMembers = hello.reportsMembers
    }

    /// The hello.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> Hello {
        guard self.hasVector else { throw .missing(field: "vector") }
        guard self.hasHostReport else { throw .missing(field: "host_report") }
        return Hello(
            protocolVersion: self.protocolVersion,
            clinicID: try MessageCodec.text(self.clinicID, max: limits.nameBytesMax, "clinic_id"),
            nodeName: try MessageCodec.text(self.nodeName, max: limits.nameBytesMax, "node_name"),
            softwareVersion: try MessageCodec.text(
                self.softwareVersion,
                max: limits.nameBytesMax,
                "software_version"
            ),
            schemaVersion: self.schemaVersion,
            addresses: try MessageCodec.addresses(self.addresses, limits, "addresses"),
            hostReport: try self.hostReport.model(limits),
            wallMilliseconds: try MessageCodec.milliseconds(self.wallMilliseconds, "wall_milliseconds"),
            vector: try self.vector.vector(limits, "vector"),
            partials: try self.partialModels(limits),
            creditBytes: self.creditBytes,
            runID: self.runID,
            takesState: self.takesState,
            knowsEpochs: self.hasEpoch,
            epoch: try self.epochModel(),
            gathersProbes: self.gathersProbes,
            reportsMembers: self.reportsMembers
        )
    }

    private func epochModel() throws(WireDecodingError) -> Epoch? {
        guard !self.epoch.isEmpty else { return nil }
        guard self.epoch.count <= Epoch.bytesMax else { throw .limitExceeded(field: "epoch") }
        guard let epoch = Epoch(statement: Array(self.epoch)) else { throw .malformed }
        return epoch
    }

    private func partialModels(_ limits: WireLimits) throws(WireDecodingError) -> [PartialBatch] {
        guard self.partials.count <= limits.partialsMax else { throw .limitExceeded(field: "partials") }
        var partials = [PartialBatch]()
        partials.reserveCapacity(self.partials.count)
        for partial in self.partials {
            let nextChunk = try MessageCodec.chunkIndex(partial.nextChunk, "partial.next_chunk")
            // Nothing is computed with these numbers: they are only compared.
            let content = PartialBatch.Content(
                first: partial.firstChecksum,
                timestamp: partial.timestamp,
                newest: partial.newestChecksum
            )
            partials.append(
                PartialBatch(batch: try partial.batch.model(), nextChunk: nextChunk, content: content)
            )
        }
        return partials
    }
}

extension WireHello.Partial {
    /// The wire form of a partial batch.
    init(_ partial: PartialBatch) {
        self.init()
        self.batch = WireBatchName(partial.batch)
        self.nextChunk = partial.nextChunk
        self.firstChecksum = partial.content.first
        self.timestamp = partial.content.timestamp
        self.newestChecksum = partial.content.newest
    }
}

extension WireGoodbye {
    /// The wire form of a goodbye.
    init(_ reason: CloseReason, retryAfterMilliseconds: UInt32?) {
        self.init()
        self.reason = ProtocolBuffers.wire(reason)
        self.retryAfterMilliseconds = retryAfterMilliseconds ?? 0
    }

    /// The goodbye.
    func model() throws(WireDecodingError) -> Message {
        .goodbye(
            try ProtocolBuffers.known(self.reason, "reason"),
            retryAfterMilliseconds: self.retryAfterMilliseconds == 0 ? nil : self.retryAfterMilliseconds
        )
    }
}
