import ClinicSyncModel

/// The orders in which a node can receive batches.
enum Deliveries {
    /// Every causal order of `parcels` for a node that has `held`.
    ///
    /// Of more than `limit` orders, `limit` orders are chosen evenly.
    ///
    /// - Parameters:
    ///   - parcels: batches, of which those that the node has are left out.
    ///   - held: what the node has.
    ///   - limit: how many orders at most.
    /// - Returns: The orders; always the same for the same batches.
    static func orders(of parcels: [Parcel], held: VersionVector, limit: Int) -> [[Parcel]] {
        let lacking = parcels.filter { held[$0.id.origin] < $0.id.sequence }.sorted { $0.id < $1.id }
        var orders: [[Parcel]] = []
        self.extend([], with: lacking, held: held, into: &orders)
        guard orders.count > limit else { return orders }
        return (0..<limit).map { orders[$0 * (orders.count - 1) / max(limit - 1, 1)] }
    }

    /// The largest number of orders that are enumerated; a scenario with more uses the first orders.
    private static let examinedMax = 5_000

    private static func extend(
        _ order: [Parcel],
        with rest: [Parcel],
        held: VersionVector,
        into orders: inout [[Parcel]]
    ) {
        guard orders.count < self.examinedMax else { return }
        guard !rest.isEmpty else {
            orders.append(order)
            return
        }
        for (index, parcel) in rest.enumerated() {
            guard held[parcel.id.origin] + 1 == parcel.id.sequence, held.covers(parcel.needs) else { continue }
            var others = rest
            others.remove(at: index)
            var next = held
            next.advance(parcel.id.origin, to: parcel.id.sequence)
            self.extend(order + [parcel], with: others, held: next, into: &orders)
        }
    }
}
