import ClinicSyncModel
import OrderedCollections

/// Damage in this node's own bookkeeping: has it repaired, gets lost batches from peers, and keeps a record for people.
///
/// A request that only reads cannot repair what it finds. So it fails with ``StorageFailure/damaged(_:)``, the writer
/// repairs the part, and the request is given again. Requests that write repair by themselves and report it
/// (``StoreNotice``). A damaged batch of the log is requested from a peer that has it; when no peer sends it, the batch is
/// served without its damaged chunks.
package struct DamageStateMachine: Sendable, Hashable {
    /// A chunk that this node lost, and perhaps those after it.
    private struct Search: Sendable, Hashable {
        /// Requests that need the batch and wait until the search is over.
        var waiting: [StorageRequest] = []
        /// The connection over which the batch was requested; `nil` when no peer has it.
        var asked: ConnectionID?
        /// Peers that were asked in vain.
        var tried: [ConnectionID] = []
        /// Whether the batch is served without its damaged chunks.
        var isLeftOut = false
    }

    /// Chunks searched at a time; beyond it the chunk's batch is left out without a search.
    package static let searchesMax = 64
    /// How long a peer has to send a batch.
    package static let refetchLimit: Duration = .seconds(2)
    /// Damage of one table and outcome is reported again after this time; `status` counts it in between.
    package static let reportInterval: Duration = .seconds(600)

    /// Damage since the start, one entry for each table and outcome.
    package private(set) var record: [CoreStatus.Damage] = []
    /// Rows for which programs' triggers failed since the start.
    package private(set) var failedTriggers = 0
    private var reportedAt: OrderedDictionary<DamageRepair, Duration> = [:]
    /// Requests to repeat after each repair that the store was asked for, in the order of these repairs.
    private var repeats: [StorageRequest] = []
    /// The last request that was repeated; when it finds the same damage again, the repair had no effect.
    private var lastRepeat: Repeat?
    private var searches: OrderedDictionary<LostChunk, Search> = [:]

    private struct Repeat: Sendable, Hashable {
        var request: StorageRequest
        var damage: OwnDamage
    }

    /// Starts without damage.
    package init() {}

    /// Programs' triggers failed for some rows, which are written without them.
    package mutating func triggersFailed(_ count: Int) -> [Directive] {
        guard count > 0 else { return [] }
        self.failedTriggers &+= count
        return [.effect(.notify(.triggersFailed(count)))]
    }

    // MARK: - Found and repaired

    /// A request that reads found damage.
    ///
    /// - Returns: What is to be done; `nil` when the request cannot be repeated, because the repair had no effect.
    package mutating func found(_ damage: OwnDamage, by request: StorageRequest) -> [Directive]? {
        guard request.isRead else { return nil }
        let attempt = Repeat(request: request, damage: damage)
        guard self.lastRepeat != attempt else { return nil }
        self.lastRepeat = attempt
        self.repeats.append(request)
        return [.effect(.storage(.mend(damage)))]
    }

    /// The store has carried out a repair that it was asked for.
    ///
    /// - Returns: What is to be done, and the request that fails because the repair was not possible.
    package mutating func mended(
        _ repair: DamageRepair,
        peers: [LinkedPeer],
        _ context: NodeContext
    ) -> (directives: [Directive], failed: StorageRequest?) {
        guard !self.repeats.isEmpty else { return (self.note(repair, context), nil) }
        let request = self.repeats.removeFirst()
        if repair.outcome == .failed { return (self.note(repair, context) + [.unfit], request) }
        guard let chunk = repair.wanted.first else { return (self.note(repair, context) + [.storage(request)], nil) }
        return (self.search(for: chunk, waiting: request, repair: repair, peers: peers, context), nil)
    }

    /// The store could not carry out a repair that it was asked for.
    ///
    /// - Returns: The request that waited for the repair.
    package mutating func mendFailed() -> StorageRequest? {
        self.repeats.isEmpty ? nil : self.repeats.removeFirst()
    }

    /// The store has found and repaired damage while it carried out another request.
    package mutating func noticed(
        _ repairs: [DamageRepair],
        peers: [LinkedPeer],
        _ context: NodeContext
    ) -> [Directive] {
        repairs.flatMap { repair in
            let notes = self.note(repair, context) + (repair.outcome == .failed ? [.unfit] : [])
            return notes + repair.wanted.flatMap { self.request($0, from: peers, except: []).directives }
        }
    }

    /// Keeps a repair for people; reports it unless the same was reported lately.
    package mutating func note(_ repair: DamageRepair, _ context: NodeContext) -> [Directive] {
        let now = context.time.monotonic
        let index = self.record.firstIndex {
            $0.repair.table == repair.table && $0.repair.outcome == repair.outcome
        }
        if let index {
            self.record[index].repair.count += repair.count
            self.record[index].repair.reason = repair.reason
            self.record[index].wallMilliseconds = context.clinicMilliseconds
        } else {
            var kept = repair
            kept.wanted = []
            self.record.append(CoreStatus.Damage(repair: kept, wallMilliseconds: context.clinicMilliseconds))
        }
        let kind = DamageRepair(table: repair.table, outcome: repair.outcome)
        if let last = self.reportedAt[kind], now - last < DamageStateMachine.reportInterval { return [] }
        self.reportedAt[kind] = now
        return [.effect(.notify(.ownDamage(repair)))]
    }

    // MARK: - Batches that are lost

    private mutating func search(
        for chunk: LostChunk,
        waiting request: StorageRequest,
        repair: DamageRepair,
        peers: [LinkedPeer],
        _ context: NodeContext
    ) -> [Directive] {
        var search = self.searches[chunk] ?? Search()
        search.waiting.append(request)
        if search.asked != nil {
            self.searches[chunk] = search
            return []
        }
        let isFirst = search.tried.isEmpty && !search.isLeftOut
        let (directives, asked) = self.request(chunk, from: peers, except: search.tried)
        guard let asked, !search.isLeftOut, self.searches.count < DamageStateMachine.searchesMax else {
            search.isLeftOut = true
            search.waiting = []
            self.searches[chunk] = search
            self.dropOldSearches()
            var outcome = repair
            outcome.outcome = .leftOut
            let notes = isFirst || !search.tried.isEmpty ? self.note(outcome, context) : []
            return notes + [.storage(.leaveOut(chunk.batch)), .storage(request)]
        }
        search.asked = asked
        search.tried.append(asked)
        self.searches[chunk] = search
        return (isFirst ? self.note(repair, context) : []) + directives
    }

    /// Asks the first peer that has the batch, this node's host first.
    private func request(
        _ chunk: LostChunk,
        from peers: [LinkedPeer],
        except tried: [ConnectionID]
    ) -> (directives: [Directive], asked: ConnectionID?) {
        let peer = peers.first {
            $0.acknowledged[chunk.batch.origin] >= chunk.batch.sequence && !tried.contains($0.connection)
        }
        guard let peer else { return ([], nil) }
        let question = Acknowledgement(applied: [], creditBytes: 0, wanted: [chunk])
        let timer = Effect.setTimer(.refetch, after: DamageStateMachine.refetchLimit)
        return ([.effect(.send([peer.connection], .acknowledge(question))), .effect(timer)], peer.connection)
    }

    /// The store has chunks of a peer: requests that wait for this peer are given again.
    package mutating func stored(from id: ConnectionID) -> [Directive] { self.resume { $0 == id } }

    /// A link is gone.
    package mutating func lost(_ id: ConnectionID) -> [Directive] { self.resume { $0 == id } }

    /// No peer sent the batches in time.
    package mutating func timedOut() -> [Directive] { self.resume { _ in true } }

    /// Gives the requests again that wait for peers; a request that finds the batch damaged still asks the next peer.
    private mutating func resume(_ isOver: (ConnectionID) -> Bool) -> [Directive] {
        var directives: [Directive] = []
        for chunk in Array(self.searches.keys) {
            guard var search = self.searches[chunk], let asked = search.asked, isOver(asked) else { continue }
            directives += search.waiting.map { .storage($0) }
            search.asked = nil
            search.waiting = []
            self.searches[chunk] = search
            self.lastRepeat = nil
        }
        return directives
    }

    /// Forgets the searches that ended first.
    private mutating func dropOldSearches() {
        while self.searches.count >= DamageStateMachine.searchesMax,
            let index = self.searches.values.firstIndex(where: { $0.asked == nil })
        {
            self.searches.remove(at: index)
        }
    }
}

extension Directive {
    /// Gives the store a request.
    fileprivate static func storage(_ request: StorageRequest) -> Directive { .effect(.storage(request)) }
}

extension DamageRepair {
    /// A kind of damage, by which reports are limited.
    fileprivate init(table: OwnDamage.Table, outcome: Outcome) {
        self.init(OwnDamage(table, ""), count: 0, outcome: outcome)
    }
}
