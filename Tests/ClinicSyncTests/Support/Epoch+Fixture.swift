import ClinicSyncModel

extension Epoch {
    /// An epoch that nobody signed.
    static func of(_ number: UInt64, by node: NodeID, at decidedAt: Int64 = 7, batches: UInt64 = 0) throws -> Epoch {
        let body = Epoch.body(
            clinic: NodeID(high: 9, low: 9),
            number: number,
            node: node,
            decidedAt: decidedAt,
            batches: batches
        )
        guard let epoch = Epoch(statement: body + [1, 2, 3]) else { throw Malformed() }
        return epoch
    }

    struct Malformed: Error {}
}
