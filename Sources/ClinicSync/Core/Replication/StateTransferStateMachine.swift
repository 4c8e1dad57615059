package import ClinicSyncModel
import OrderedCollections

/// State in place of history: what this node takes of a peer's state, and what it gives of its own.
///
/// A peer whose log cannot bring this node up to date offers its state. This node asks for pages, an answer at a time, and
/// the store keeps them. When all are there, the store merges and shows them in one transaction. A break costs nothing: the
/// next offer, of any peer, continues behind the last page that is stored.
///
/// The giving side keeps nothing between two requests but what it was asked.
package struct StateTransferStateMachine: Sendable, Hashable {
    /// What this node does to get a state.
    package enum State: Sendable, Hashable {
        /// Nothing. Entered at the start, when a state is shown, and when its sender is gone. Can transition to `receiving`.
        case idle
        /// Pages are asked for and stored. Entered with an offer. Can transition to `installing`, `idle`.
        case receiving(Source)
        /// All pages are stored. The store merges them, or waits for batches of which they have a part. `from`: the sender,
        /// while it is linked. Entered with the end's storage. Can transition to `idle`, and to `receiving` when the sender
        /// is gone and another peer offers its state.
        case installing(from: ConnectionID?, isWorking: Bool, since: Duration)
    }

    /// The peer that sends the pages.
    package struct Source: Sendable, Hashable {
        /// The connection.
        package var connection: ConnectionID
        /// The number of the newest request.
        package var request: UInt64
        /// The place behind which the newest request asks.
        package var asked: StateCursor?
        /// Pages of the answer that have arrived.
        package var pages: [StatePage] = []
        /// Whether the answer is complete, so that the next request may follow.
        package var isAnswered = false
        /// Answers that the store has not stored yet.
        package var staging = 0
        /// The vector of the state, and the place behind the last page that has arrived.
        package var vector: VersionVector
        /// See `vector`; `nil` before the first page.
        package var cursor: StateCursor?
        /// Where the answers end that the store was given; `nil` before the first one.
        package var given: Place?
    }

    /// A place in one state.
    package struct Place: Sendable, Hashable {
        /// The vector of the state.
        package let vector: VersionVector
        /// The place.
        package let cursor: StateCursor?
    }

    /// A peer's offer.
    private struct Offer: Sendable, Hashable {
        let sizes: StateOffer
        /// Whether the peer says that it has batches which this node lacks.
        let hasMore: Bool
    }

    /// Where a transfer began since this node's start, for its rate.
    private struct Beginning: Sendable, Hashable {
        var offer: StateOffer
        let time: Duration
        let bytes: UInt64
        let rows: UInt64
    }

    /// How far the state is that this node takes.
    package struct Progress: Sendable, Hashable {
        /// The connection with the sender; `nil` when it is gone.
        package var source: ConnectionID?
        /// Rows that are stored, and rows that the sender named in its offer, or more.
        package var rows: UInt64
        /// See `rows`.
        package var rowsTotal: UInt64
        /// Payload bytes that are stored.
        package var bytes: UInt64
        /// Payload bytes a second since the node's start; 0 when nothing can be said yet.
        package var bytesPerSecond: UInt64
        /// How long the rest of the rows takes at that rate; `nil` when nothing can be said yet.
        package var timeLeft: Duration?
        /// Whether all pages are stored, so that the state is shown next.
        package var isWhole: Bool
        /// Why it is not shown although it is whole; `nil` when the store has not failed.
        package var failure: Failure?
    }

    /// The store's failures to merge a whole state.
    package struct Failure: Sendable, Hashable {
        /// How many there were, one after the other.
        package let count: Int
        /// The last one.
        package let last: StorageFailure
        /// How long the store waits after it.
        package let delay: Duration
        /// When the store tries again, at the earliest.
        package let retryAt: Duration
    }

    /// A peer to which this node gives its state.
    private struct Receiver: Sendable, Hashable {
        /// The request that the store works on, and one that waits for it.
        var isReading = false
        var waiting: StateRequest?
        /// What the log is pinned for, and since when.
        var pinned: VersionVector?
        var pinnedAt: Duration = .zero
    }

    /// What this node does to get a state.
    package private(set) var state: State = .idle
    /// The part of a state that is stored.
    package private(set) var staged: StagedState?
    /// Where the transfer began since this node's start.
    private var beginning: Beginning?
    /// Why the stored state is not shown.
    private var failure: Failure?
    private var offers: OrderedDictionary<ConnectionID, Offer> = [:]
    /// The connection with this node's host; `nil` when it is host itself, or has none.
    private var host: ConnectionID?
    private var receivers: OrderedDictionary<ConnectionID, Receiver> = [:]
    private var lastRequest: UInt64 = 0

    /// Makes a machine that neither takes nor gives.
    package init() {}

    /// Takes what the store has of a state when the node starts.
    package mutating func start(_ staged: StagedState?, at time: Duration) {
        self.staged = staged
        if staged?.through != nil { self.state = .installing(from: nil, isWorking: false, since: time) }
    }

    /// The connection from which this node gets a state.
    package var source: ConnectionID? {
        switch self.state {
        case .idle: nil
        case .receiving(let source): source.connection
        case .installing(let id, _, _): id
        }
    }

    /// How many peers are being given this node's state.
    package var receiverCount: Int { self.receivers.count { $0.value.pinned != nil } }

    /// How far the state is that this node takes; `nil` when it takes none, or has got what the state began with from the log.
    ///
    /// - Parameters:
    ///   - time: The time.
    ///   - vector: What this node has applied.
    /// - Returns: The progress.
    package func progress(at time: Duration, having vector: VersionVector = VersionVector()) -> Progress? {
        guard self.state != .idle || (self.staged != nil && !self.isOvertaken(by: vector)) else { return nil }
        let (rows, bytes) = (self.staged?.rows ?? 0, self.staged?.bytes ?? 0)
        var progress = Progress(
            source: self.source,
            rows: rows,
            rowsTotal: max(rows, self.beginning?.offer.rows ?? 0),
            bytes: bytes,
            bytesPerSecond: 0,
            timeLeft: nil,
            isWhole: self.staged?.through != nil,
            failure: self.failure
        )
        // A state that began again has fewer bytes than before.
        guard let beginning = self.beginning, beginning.bytes < bytes, beginning.rows < rows,
            time > beginning.time
        else { return progress }
        let seconds = max(1, UInt64(clamping: (time - beginning.time).components.seconds))
        progress.bytesPerSecond = (bytes - beginning.bytes) / seconds
        let left = Double(progress.rowsTotal - rows) * Double(seconds) / Double(rows - beginning.rows)
        progress.timeLeft = .seconds(min(left, 1e9))
        return progress
    }

    /// Whether a node with `vector` has what the stored state began with.
    package func isOvertaken(by vector: VersionVector) -> Bool {
        self.staged.map { vector.covers($0.vector) } ?? false
    }

    // MARK: - Messages

    /// A peer sent a message of a transfer.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - id: The connection.
    ///   - hasMore: Whether the peer says that it has batches which this node lacks.
    ///   - time: The time.
    /// - Returns: What is to be done.
    package mutating func received(
        _ message: StateMessage,
        on id: ConnectionID,
        hasMore: Bool = true,
        at time: Duration
    ) -> [Directive] {
        switch message {
        case .offer(let offer): self.offered(Offer(sizes: offer, hasMore: hasMore), on: id, at: time)
        case .request(let request): self.requested(request, on: id)
        case .page(let page): self.received(page, on: id)
        case .end(let end): self.received(end, on: id)
        }
    }

    private mutating func offered(_ offer: Offer, on id: ConnectionID, at time: Duration) -> [Directive] {
        self.offers[id] = offer
        return self.beginIfIdle(at: time)
    }

    /// This node follows the host at the other end of that connection, or no other host.
    package mutating func hostChanged(_ id: ConnectionID?, at time: Duration) -> [Directive] {
        self.host = id
        return self.beginIfIdle(at: time)
    }

    private mutating func beginIfIdle(at time: Duration) -> [Directive] {
        switch self.state {
        case .idle, .installing(nil, false, _): self.begin(at: time)
        case .receiving, .installing: []
        }
    }

    /// Whether this node takes the state that a peer offers: a client its host's alone, another node only more than it has.
    private func mayTake(_ id: ConnectionID, _ offer: Offer) -> Bool { self.host.map { $0 == id } ?? offer.hasMore }

    /// Asks the first peer whose state this node may take.
    private mutating func begin(at time: Duration) -> [Directive] {
        guard let entry = self.offers.elements.first(where: { self.mayTake($0.key, $0.value) }) else { return [] }
        let (id, offer) = (entry.key, entry.value.sizes)
        let bytes = self.staged?.bytes ?? 0
        self.beginning =
            self.beginning ?? Beginning(offer: offer, time: time, bytes: bytes, rows: self.staged?.rows ?? 0)
        self.beginning?.offer = offer
        let vector = self.staged?.vector ?? VersionVector()
        return self.request(Source(connection: id, request: 0, vector: vector, cursor: self.staged?.cursor))
    }

    private mutating func request(_ source: Source) -> [Directive] {
        var source = source
        self.lastRequest += 1
        source.request = self.lastRequest
        source.asked = source.cursor
        source.isAnswered = false
        self.state = .receiving(source)
        let request = StateRequest(
            id: source.request,
            vector: source.vector,
            after: source.cursor,
            creditBytes: CoreLimits.stateAnswerBytes
        )
        return [.send(source.connection, .state(.request(request)))]
    }

    /// The payload bytes that the pages of a state may have: more than the sender said, but not without end.
    private var bytesMax: UInt64 {
        let said = min(self.beginning?.offer.bytes ?? 0, CoreLimits.stateBytesMax)
        return said * 4 + CoreLimits.stateBytesMin
    }

    private mutating func received(_ page: StatePage, on id: ConnectionID) -> [Directive] {
        // Race: the page was on its way when this node turned to another peer, or got what it needs.
        guard case .receiving(var source) = self.state, source.connection == id, source.request == page.id,
            !source.isAnswered
        else { return [] }
        let stored = self.staged?.bytes ?? 0
        guard stored <= self.bytesMax, source.take(page) else { return [.close(id, .protocolViolation)] }
        guard page.isLast else {
            self.state = .receiving(source)
            return []
        }
        return [self.stage(source, end: nil)] + self.requestNext()
    }

    private mutating func received(_ end: StateEnd, on id: ConnectionID) -> [Directive] {
        guard case .receiving(var source) = self.state, source.connection == id, source.request == end.id,
            !source.isAnswered
        else { return [] }
        guard source.vector == end.vector, source.cursor != nil, end.through.covers(end.vector) else {
            return [.close(id, .protocolViolation)]
        }
        // Nothing is asked for any more.
        source.request = 0
        return [self.stage(source, end: end)]
    }

    /// Gives the store an answer, which is complete.
    private mutating func stage(_ source: Source, end: StateEnd?) -> Directive {
        var source = source
        let answer = StateAnswer(pages: source.takePages(), end: end)
        source.isAnswered = true
        source.staging += 1
        source.given = Place(vector: source.vector, cursor: source.cursor)
        self.state = .receiving(source)
        return .submit(.stageState(from: source.connection, answer, behind: source.asked))
    }

    /// Asks for the next pages, if the store is not too far behind.
    private mutating func requestNext() -> [Directive] {
        guard case .receiving(let source) = self.state, source.isAnswered, source.request != 0,
            source.staging <= CoreLimits.stateAnswersStagingMax
        else { return [] }
        return self.request(source)
    }

    // MARK: - The store's replies to the taking side

    /// The store has an answer, or has left it out because it did not follow what is stored; `nil`: nothing is stored.
    package mutating func staged(_ staged: StagedState?, from id: ConnectionID, at time: Duration) -> [Directive] {
        // Another state may be merged where this one failed.
        if staged?.vector != self.staged?.vector { self.failure = nil }
        self.staged = staged
        if case .idle = self.state, staged?.through != nil {
            // The sender was lost when it had given everything.
            self.state = .installing(from: nil, isWorking: false, since: time)
            return self.install(at: time)
        }
        guard case .receiving(var source) = self.state, source.connection == id else { return [] }
        source.staging = max(0, source.staging &- 1)
        if staged == nil {
            // What else was sent meanwhile is forgotten, too.
            source.isAnswered = true
            source.request = 0
        }
        self.state = .receiving(source)
        guard staged?.through == nil else {
            self.state = .installing(from: id, isWorking: false, since: time)
            return self.install(at: time)
        }
        guard source.staging == 0, source.request == 0 || source.isAhead(of: staged) else { return self.requestNext() }
        // The store has not taken all that it was given: it goes on from where it is.
        self.state = .idle
        return self.begin(at: time)
    }

    /// Merges a state that waits, unless the store failed a short time ago.
    private mutating func install(isForced: Bool = false, at time: Duration) -> [Directive] {
        guard case .installing(let id, false, let since) = self.state, self.failure.map({ $0.retryAt <= time }) ?? true
        else { return [] }
        self.state = .installing(from: id, isWorking: true, since: since)
        return [.submit(.installState(isForced: isForced))]
    }

    /// The state waits for batches that are not in the log yet.
    package mutating func waits() {
        guard case .installing(let id, _, let since) = self.state else { return }
        self.state = .installing(from: id, isWorking: false, since: since)
    }

    /// Chunks were stored: perhaps the state waits no more.
    package mutating func stored(at time: Duration) -> [Directive] { self.install(at: time) }

    /// A round of housekeeping begins: a state that waits for too long is shown without what it waits for.
    package mutating func keepHouse(at time: Duration) -> [Directive] {
        guard case .installing(_, false, let since) = self.state else { return [] }
        return self.install(isForced: time - since >= CoreLimits.stateTailLimit, at: time)
    }

    /// The state is shown.
    package mutating func installed() {
        self.state = .idle
        self.staged = nil
        self.beginning = nil
        self.failure = nil
        // Who still has what this node lacks says so again.
        self.offers = [:]
    }

    /// The store could not merge the state.
    ///
    /// Each try may hold the write lock for as long as the whole merge takes. So it waits twice as long as before the last
    /// try, ``CoreLimits/stateRetryDelayMax`` at most. Then it tries again with the next stored chunk or round of housekeeping.
    package mutating func installFailed(_ failure: StorageFailure, at time: Duration) {
        let before = self.failure
        let delay = min(before.map { $0.delay * 2 } ?? CoreLimits.stateRetryDelay, CoreLimits.stateRetryDelayMax)
        self.failure = Failure(count: (before?.count ?? 0) &+ 1, last: failure, delay: delay, retryAt: time + delay)
        self.waits()
    }

    // MARK: - Links

    /// A link is gone.
    package mutating func lost(_ id: ConnectionID, at time: Duration) -> [Directive] {
        self.offers[id] = nil
        self.receivers[id] = nil
        switch self.state {
        case .receiving(let source) where source.connection == id:
            self.state = .idle
            return self.begin(at: time)
        case .installing(id?, let isWorking, let since):
            self.state = .installing(from: nil, isWorking: isWorking, since: since)
            // The batches that the state waits for come from another peer, once that has heard of the state.
            return isWorking ? [] : self.begin(at: time)
        case .idle, .receiving, .installing: return []
        }
    }

    // MARK: - The giving side

    /// The log cannot serve a peer.
    package mutating func needed(_ offer: StateOffer, by id: ConnectionID) -> [Directive] {
        [.send(id, .state(.offer(offer)))]
    }

    private mutating func requested(_ request: StateRequest, on id: ConnectionID) -> [Directive] {
        var receiver = self.receivers[id] ?? Receiver()
        defer { self.receivers[id] = receiver }
        guard !receiver.isReading else {
            // A peer has one request at a time, and one more when it begins again.
            guard receiver.waiting == nil else { return [.close(id, .protocolViolation)] }
            receiver.waiting = request
            return []
        }
        receiver.isReading = true
        return [.effect(.storage(.readState(for: id, request)))]
    }

    /// The store has read pages for a peer.
    ///
    /// - Parameters:
    ///   - answer: The pages.
    ///   - id: The connection.
    ///   - node: The peer.
    ///   - time: The time.
    /// - Returns: What is to be done.
    package mutating func read(
        _ answer: StateAnswer,
        for id: ConnectionID,
        _ node: NodeID?,
        at time: Duration
    ) -> [Directive] {
        // Race: the link is gone.
        guard var receiver = self.receivers[id], let node else { return [] }
        var directives = answer.pages.map { Directive.send(id, .state(.page($0))) }
        if let end = answer.end { directives.append(.send(id, .state(.end(end)))) }
        // The peer does not choose what is kept for it: this node chose the vector with the first page.
        if let first = answer.pages.first, first.table.isEmpty, receiver.pinned != first.vector {
            receiver.pinned = first.vector
            receiver.pinnedAt = time
            directives.append(.effect(.storage(.pinState(node, first.vector, isNew: true))))
        } else if time - receiver.pinnedAt >= CoreLimits.statePinInterval,
            let vector = answer.end?.vector ?? answer.pages.first?.vector
        {
            receiver.pinnedAt = time
            directives.append(.effect(.storage(.pinState(node, vector, isNew: false))))
        }
        receiver.isReading = false
        if let next = receiver.waiting {
            receiver.waiting = nil
            receiver.isReading = true
            directives.append(.effect(.storage(.readState(for: id, next))))
        }
        self.receivers[id] = receiver
        return directives
    }
}

extension StateTransferStateMachine.Source {
    /// Takes a page of the answer.
    ///
    /// - Returns: Whether it follows the page before it; the first page of a state begins it again.
    fileprivate mutating func take(_ page: StatePage) -> Bool {
        let bytes = self.pages.reduce(0) { $0 + $1.payload.count }
        guard bytes < CoreLimits.stateAnswerBytes, self.pages.count < CoreLimits.statePagesMax,
            page.payload.count <= CoreLimits.chunkBytesMax
        else { return false }
        if page.vector != self.vector {
            // The sender cannot continue what this node has: it begins again, with the authors.
            guard self.pages.isEmpty, page.table.isEmpty else { return false }
            self.vector = page.vector
        } else if !page.table.isEmpty || self.cursor != nil {
            guard let cursor = self.cursor, page.cursor.isBehind(cursor) else { return false }
        }
        self.cursor = page.cursor
        self.pages.append(page)
        return true
    }

    /// Whether the store, which has replied to everything, has less than it was given.
    fileprivate func isAhead(of staged: StagedState?) -> Bool {
        guard let staged, let given = self.given else { return false }
        return given.vector != staged.vector || given.cursor?.isBehind(staged.cursor) == true
    }

    /// Takes the pages of an answer out.
    fileprivate mutating func takePages() -> [StatePage] {
        defer { self.pages = [] }
        return self.pages
    }
}
