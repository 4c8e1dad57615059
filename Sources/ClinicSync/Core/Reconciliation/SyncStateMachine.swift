package import ClinicSyncModel
import DequeModule

/// The host's part in a manual sync of the whole clinic.
///
/// The host sweeps its own tables, then asks every connected client to sweep and to reconcile with it. A repair
/// may have changed the host after another client was compared, so passes are repeated until one has found
/// nothing but equality: that pass is the proof.
package struct SyncStateMachine: Sendable, Hashable {
    /// Where the sync stands.
    package enum State: Sendable, Hashable {
        /// None in progress. Can transition to `sweeping`.
        case idle
        /// The host's tables are being swept. Can transition to `verifying`, `idle`.
        case sweeping(Run)
        /// Clients have been asked. Can transition to itself with the next pass, `idle`.
        case verifying(Run)
    }

    /// Who wants the outcome.
    package enum Requester: Sendable, Hashable {
        /// A person or program on the host.
        case command(RequestID)
        /// A client, with its own number of the request.
        case peer(ConnectionID, id: UInt64)
    }

    /// A connected client.
    package struct Client: Sendable, Hashable {
        /// The connection with it.
        package var connection: ConnectionID
        /// Its id.
        package var node: NodeID
        /// Its name.
        package var name: String

        /// Makes a client.
        package init(connection: ConnectionID, node: NodeID, name: String) {
            self.connection = connection
            self.node = node
            self.name = name
        }
    }

    /// A client's account in a sync.
    package struct Account: Sendable, Hashable {
        /// The client.
        package var client: Client
        /// Its result in this pass; `nil` while it is awaited.
        package var result: ReconciliationResult?
        /// Whether rows were repaired in an earlier pass.
        package var wasRepaired: Bool
    }

    /// A sync in progress.
    package struct Run: Sendable, Hashable {
        /// Its number.
        package var id: UInt64
        /// The one table; `nil`: all.
        package var table: String?
        /// Who wants the outcome.
        package var requesters: [Requester]
        /// The pass, from 1.
        package var pass = 0
        /// The host's own result.
        package var ownResult: ReconciliationResult = .equal
        /// The clients, in the order in which they connected.
        package var accounts: [Account] = []
        /// Rows repaired anywhere.
        package var repairedRows: UInt64 = 0
    }

    /// What is to be done.
    package enum Action: Sendable, Hashable {
        /// Sweep the host's tables.
        case sweep(table: String?, id: UInt64)
        /// Ask these clients.
        case verify([ConnectionID], SyncRequest)
        /// Tell the requesters; each gets the report under its own number.
        case answer([Requester], SyncReport)
        /// Start the timer of this sync.
        case startTimer(id: UInt64)
        /// Stop it.
        case stopTimer(id: UInt64)
    }

    private struct Wish: Sendable, Hashable {
        var table: String?
        var requesters: [Requester]
    }

    /// Where the sync stands.
    package private(set) var state: State = .idle
    private let host: SyncReport.Node
    private let passesMax: Int
    private var wishes: Deque<Wish> = []
    private var lastID: UInt64 = 0

    /// Makes a machine of the host called `name`.
    package init(host: NodeID, name: String, passesMax: Int) {
        self.host = SyncReport.Node(id: host, name: name, result: .equal)
        self.passesMax = passesMax
    }

    /// Begins a sync, or lets it wait for the one in progress.
    ///
    /// A wish never joins a sync in progress, whose proof may be older than the wish.
    package mutating func request(_ requester: Requester, table: String?) -> [Action] {
        guard self.state == .idle else {
            return self.wait(requester, table: table)
        }
        return self.begin(Wish(table: table, requesters: [requester]))
    }

    /// Goes on when the host's tables are swept; `unsent` rows of them no exchange can bring to the others.
    package mutating func swept(id: UInt64, escaped: Int, unsent: Int = 0, clients: [Client]) -> [Action] {
        guard case .sweeping(var run) = self.state, run.id == id else { return [] }
        if escaped > 0 {
            run.ownResult = .repaired
            run.repairedRows += UInt64(escaped)
        }
        if unsent > 0 { run.ownResult = .differs }
        return self.nextPass(run, clients: clients)
    }

    /// Goes on without a proof of the host's own tables.
    package mutating func sweepFailed(id: UInt64) -> [Action] {
        guard case .sweeping(var run) = self.state, run.id == id else { return [] }
        run.ownResult = .differs
        return self.finish(run, .differs)
    }

    /// Takes a client's report.
    package mutating func reported(
        _ report: VerifyReport,
        from connection: ConnectionID,
        clients: [Client]
    ) -> [Action] {
        guard case .verifying(var run) = self.state, run.id == report.id,
            let index = run.accounts.firstIndex(where: { $0.client.connection == connection }),
            run.accounts[index].result == nil
        else { return [] }
        run.accounts[index].result = report.result
        run.repairedRows &+= report.repairedRows
        return self.proceed(run, clients: clients)
    }

    /// Goes on without a client that is no longer reachable.
    package mutating func lost(_ connection: ConnectionID, clients: [Client]) -> [Action] {
        guard case .verifying(var run) = self.state,
            let index = run.accounts.firstIndex(where: { $0.client.connection == connection })
        else { return [] }
        run.accounts.remove(at: index)
        return self.proceed(run, clients: clients)
    }

    /// Ends a sync that takes too long.
    package mutating func timedOut(id: UInt64) -> [Action] {
        switch self.state {
        case .sweeping(var run) where run.id == id:
            run.ownResult = .differs
            return self.finish(run, .differs)
        case .verifying(var run) where run.id == id:
            for index in run.accounts.indices where run.accounts[index].result == nil {
                run.accounts[index].result = .unreachable
            }
            return self.finish(run, Self.worst(of: run))
        case .idle, .sweeping, .verifying:
            // Benign race: the timer of a sync that has just ended.
            return []
        }
    }

    /// Answers everybody because the node stops.
    package mutating func breakOff() -> [Action] {
        let unheard = self.wishes.map { Action.answer($0.requesters, Self.refusal) }
        self.wishes = []
        switch self.state {
        case .idle: return unheard
        case .sweeping(let run), .verifying(let run): return self.finish(run, .unreachable) + unheard
        }
    }

    // MARK: - Steps

    /// The answer to a wish that was not tried.
    private static let refusal = SyncReport(id: 0, result: .unreachable, repairedRows: 0, nodes: [])

    private mutating func wait(_ requester: Requester, table: String?) -> [Action] {
        let index = self.wishes.firstIndex { $0.table == table }
        if let index, self.wishes[index].requesters.count < CoreLimits.syncRequestersMax {
            self.wishes[index].requesters.append(requester)
        } else if index == nil, self.wishes.count < CoreLimits.syncsWaitingMax {
            self.wishes.append(Wish(table: table, requesters: [requester]))
        } else {
            return [.answer([requester], Self.refusal)]
        }
        return []
    }

    private mutating func begin(_ wish: Wish) -> [Action] {
        self.lastID += 1
        self.state = .sweeping(Run(id: self.lastID, table: wish.table, requesters: wish.requesters))
        return [.startTimer(id: self.lastID), .sweep(table: wish.table, id: self.lastID)]
    }

    private mutating func nextPass(_ run: Run, clients: [Client]) -> [Action] {
        var run = run
        run.pass += 1
        let earlier = run.accounts
        run.accounts = clients.map { client in
            let before = earlier.first { $0.client.connection == client.connection }
            let wasRepaired = before.map { $0.wasRepaired || $0.result == .repaired } ?? false
            return Account(client: client, result: nil, wasRepaired: wasRepaired)
        }
        guard !run.accounts.isEmpty else { return self.proceed(run, clients: clients) }
        self.state = .verifying(run)
        return [.verify(clients.map(\.connection), SyncRequest(id: run.id, table: run.table))]
    }

    private mutating func proceed(_ run: Run, clients: [Client]) -> [Action] {
        guard run.accounts.allSatisfy({ $0.result != nil }) else {
            self.state = .verifying(run)
            return []
        }
        if run.accounts.allSatisfy({ $0.result == .equal }) {
            return self.finish(run, Self.worse(run.repairedRows > 0 ? .repaired : .equal, run.ownResult))
        }
        guard run.pass < self.passesMax else {
            // Even if the last pass repaired everything, no pass has proved it.
            return self.finish(run, Self.worse(Self.worst(of: run), .differs))
        }
        return self.nextPass(run, clients: clients)
    }

    private mutating func finish(_ run: Run, _ result: ReconciliationResult) -> [Action] {
        var own = self.host
        own.result = run.ownResult
        let nodes = run.accounts.map { account in
            let final = account.result ?? .unreachable
            return SyncReport.Node(
                id: account.client.node,
                name: account.client.name,
                result: final == .equal && account.wasRepaired ? .repaired : final
            )
        }
        let report = SyncReport(id: run.id, result: result, repairedRows: run.repairedRows, nodes: [own] + nodes)
        self.state = .idle
        let ending: [Action] = [.stopTimer(id: run.id), .answer(run.requesters, report)]
        guard let wish = self.wishes.popFirst() else { return ending }
        return ending + self.begin(wish)
    }

    private static func worst(of run: Run) -> ReconciliationResult {
        run.accounts.reduce(run.ownResult) { self.worse($0, $1.result ?? .unreachable) }
    }

    private static func worse(_ left: ReconciliationResult, _ right: ReconciliationResult) -> ReconciliationResult {
        left.rawValue > right.rawValue ? left : right
    }
}
