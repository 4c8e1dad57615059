package import ClinicSyncModel
import OrderedCollections

/// Finds links over which nothing comes of what the peer has and this node lacks.
///
/// A sender remembers what it sent. When a receiver loses a part of it, the sender does not send that part again over the same
/// link, and nobody else may have it. Then the link must close, because the hello of the next one says what is missing.
///
/// The receiver watches, because it alone knows what it has, and whether its own store keeps it from taking more.
package struct StallWatch: Sendable, Hashable {
    /// A linked peer.
    package struct Peer: Sendable, Hashable {
        /// The connection.
        package var connection: ConnectionID
        /// The peer.
        package var node: NodeID
        /// The batches that the peer has and that this node may take.
        package var has: VersionVector
        /// Whether chunks of the peer wait for the store.
        package var isStoring: Bool

        /// Describes a peer.
        package init(connection: ConnectionID, node: NodeID, has: VersionVector, isStoring: Bool) {
            self.connection = connection
            self.node = node
            self.has = has
            self.isStoring = isStoring
        }
    }

    /// What this node waits for on a link.
    private struct Wait: Sendable, Hashable {
        /// What the peer had when the wait began.
        ///
        /// What it gets later does not count: a clinic that works never rests.
        let goal: VersionVector
        /// The batches of the goal that are here.
        var vector: VersionVector
        /// The batches of the goal of which some chunks are here.
        var partials: [PartialBatch]
        /// The time of the last chunk of the goal.
        var since: Duration

        /// Whether nothing has come since.
        func isSame(as last: Wait) -> Bool {
            self.goal == last.goal && self.vector == last.vector && self.partials == last.partials
        }

        /// Whether the next batch of an author is not here at all.
        ///
        /// A batch of which something is here may wait for others, or for a migration of this file. ``BatchWaits`` has the
        /// times for it.
        var lacksBatch: Bool {
            self.goal.entries(beyond: self.vector).contains { entry in
                let next = BatchID(origin: entry.origin, sequence: self.vector[entry.origin] &+ 1)
                return !self.partials.contains { $0.batch == next }
            }
        }
    }

    private var waits: OrderedDictionary<ConnectionID, Wait> = [:]
    /// How long the next wait lasts, for peers whose link was closed since this node last had all that they have.
    private var limits: OrderedDictionary<NodeID, Duration> = [:]

    /// Starts without waits.
    package init() {}

    /// Forgets for what this node waits.
    package mutating func forget() { self.waits = [:] }

    /// Looks at all links.
    ///
    /// - Parameters:
    ///   - peers: The linked peers.
    ///   - chunks: What this node has.
    ///   - time: The time.
    /// - Returns: The connections that must close. With each close the wait for that peer doubles, because a peer may never
    ///   send what it says to have.
    package mutating func update(_ peers: [Peer], having chunks: ChunkSet, at time: Duration) -> [ConnectionID] {
        var waits: OrderedDictionary<ConnectionID, Wait> = [:]
        var stalled: [ConnectionID] = []
        for peer in peers {
            guard !chunks.vector.covers(peer.has) else {
                self.limits[peer.node] = nil
                continue
            }
            let last = self.waits[peer.connection]
            let goal = last.flatMap { chunks.vector.covers($0.goal) ? nil : $0.goal } ?? peer.has
            var wait = Wait(
                goal: goal,
                vector: goal.meet(chunks.vector),
                partials: chunks.partials.filter { $0.batch.sequence <= goal[$0.batch.origin] },
                since: time
            )
            if let last, wait.isSame(as: last), wait.lacksBatch, !peer.isStoring { wait.since = last.since }
            let limit = self.limits[peer.node] ?? CoreLimits.stallLimit
            if time - wait.since >= limit {
                self.limits[peer.node] = min(limit * 2, CoreLimits.stallLimitMax)
                stalled.append(peer.connection)
            } else {
                waits[peer.connection] = wait
            }
        }
        self.waits = waits
        return stalled
    }
}
