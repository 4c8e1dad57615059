import ClinicSyncModel
import FoundationEssentials

extension WireVector {
    /// The wire form of `entries`, in their order.
    init(_ entries: [VersionVector.Entry]) {
        self.init()
        var nodes = [UInt8]()
        nodes.reserveCapacity(entries.count * 16)
        for entry in entries {
            MessageCodec.append(high: entry.origin.node.high, low: entry.origin.node.low, to: &nodes)
        }
        self.nodes = Data(nodes)
        self.sequences = entries.map(\.sequence)
        // Nearly all nodes are in their first incarnation, so the column is usually absent.
        if entries.contains(where: { $0.origin.incarnation != 0 }) {
            self.incarnations = entries.map(\.origin.incarnation)
        }
    }

    /// The entries, in any order.
    func entries(_ limits: WireLimits, _ field: String) throws(WireDecodingError) -> [VersionVector.Entry] {
        let count = self.sequences.count
        guard count <= limits.vectorEntriesMax else { throw .limitExceeded(field: field) }
        guard
            self.nodes.count == count * 16,
            self.incarnations.isEmpty || self.incarnations.count == count
        else { throw .wrongLength(field: field) }
        let nodes = Array(self.nodes)
        var entries = [VersionVector.Entry]()
        entries.reserveCapacity(count)
        for (index, number) in self.sequences.enumerated() {
            let (high, low) = MessageCodec.halves(of: nodes, at: index)
            let incarnation = self.incarnations.isEmpty ? 0 : self.incarnations[index]
            let node = NodeID(high: high, low: low)
            let origin = try MessageCodec.author(node, incarnation: incarnation, field)
            entries.append(.init(origin: origin, sequence: try MessageCodec.sequence(number, field)))
        }
        return entries
    }

    /// The vector.
    ///
    /// Its entries must ascend, so that each vector has exactly one wire form.
    func vector(_ limits: WireLimits, _ field: String) throws(WireDecodingError) -> VersionVector {
        let entries = try self.entries(limits, field)
        for (entry, next) in zip(entries, entries.dropFirst()) where entry.origin >= next.origin {
            throw .unexpected(field: field)
        }
        return VersionVector(entries)
    }
}

extension WireBatchName {
    /// The wire form of a batch's name.
    init(_ batch: BatchID) {
        self.init()
        self.node = batch.origin.node.wireBytes
        self.incarnation = batch.origin.incarnation
        self.sequence = batch.sequence
    }

    /// The batch's name.
    func model() throws(WireDecodingError) -> BatchID {
        let node = try MessageCodec.node(self.node, "batch.node")
        let sequence = try MessageCodec.sequence(self.sequence, "batch.sequence")
        let origin = try MessageCodec.author(node, incarnation: self.incarnation, "batch.node")
        return BatchID(origin: origin, sequence: sequence)
    }
}
