package import ClinicSyncModel
import DequeModule

/// The host's part in a manual sync of the whole clinic.
///
/// The host sweeps its own tables, then asks every connected client to sweep its tables and to reconcile with the host.
/// A repair may change the host after another client was compared. So the host repeats passes until one pass finds
/// equal tables everywhere: that pass is the proof.
package struct SyncStateMachine: Sendable, Hashable {
    /// The state of the sync.
    package enum State: Sendable, Hashable {
        /// No sync is in progress. Entered at the start and with a sync's end. Can transition to `sweeping`.
        case idle
        /// The store sweeps the host's tables. Entered with a request. Can transition to `verifying`, `idle`.
        case sweeping(Run)
        /// The clients have been asked. Entered with each pass. Can transition to itself, `idle`.
        case verifying(Run)
    }

    /// A connected client.
    package struct Client: Sendable, Hashable {
        /// The connection with it.
        package var connection: ConnectionID
        /// Its id.
        package var node: NodeID
        /// Its name.
        package var name: String
        /// Whether a program's write transaction keeps the client from writing; it is not compared then.
        package var isStoreLocked: Bool

        /// Makes a client.
        package init(connection: ConnectionID, node: NodeID, name: String, isStoreLocked: Bool = false) {
            self.connection = connection
            self.node = node
            self.name = name
            self.isStoreLocked = isStoreLocked
        }
    }

    /// A client's results in a sync.
    package struct Account: Sendable, Hashable {
        /// The client.
        package var client: Client
        /// The client's result in this pass; `nil` until the client reports.
        package var result: ReconciliationResult?
        /// Whether an earlier pass repaired rows of the client.
        package var wasRepaired: Bool
    }

    /// A sync in progress.
    package struct Run: Sendable, Hashable {
        /// Its number.
        package var id: UInt64
        /// The one table; `nil`: all.
        package var table: String?
        /// Who waits for the report.
        package var requesters: [Requester]
        /// The number of the pass, from 1.
        package var pass = 0
        /// The host's own result.
        package var ownResult: ReconciliationResult = .equal
        /// The clients, in the order in which they connected.
        package var accounts: [Account] = []
        /// Rows that were repaired on any node.
        package var repairedRows: UInt64 = 0
    }

    /// What is to be done, in this order.
    package enum Action: Sendable, Hashable {
        /// Sweep the host's tables.
        case sweep(table: String?, id: UInt64)
        /// Ask these clients to verify their tables.
        case verify([ConnectionID], SyncRequest)
        /// Give the requesters the report; each gets it under its own number.
        case answer([Requester], SyncReport)
        /// Start the timer of this sync.
        case startTimer(id: UInt64)
        /// Stop the timer of this sync.
        case stopTimer(id: UInt64)
    }

    private struct Wish: Sendable, Hashable {
        var table: String?
        var requesters: [Requester]
    }

    /// The state of the sync.
    package private(set) var state: State = .idle
    private let host: SyncReport.Node
    private let passesMax: Int
    private var wishes: Deque<Wish> = []
    private var lastID: UInt64 = 0

    /// Makes a machine for the host called `name`.
    package init(host: NodeID, name: String, passesMax: Int) {
        self.host = SyncReport.Node(id: host, name: name, result: .equal)
        self.passesMax = passesMax
    }

    /// Begins a sync, or lets the request wait for the sync in progress.
    ///
    /// A request never joins the sync in progress, because the proof of that sync may be older than the request.
    package mutating func request(_ requester: Requester, table: String?) -> [Action] {
        guard self.state == .idle else {
            return self.wait(requester, table: table)
        }
        return self.begin(Wish(table: table, requesters: [requester]))
    }

    /// The host's tables are swept; `unsent` of their rows are too large to be sent.
    package mutating func swept(id: UInt64, escaped: Int, unsent: Int = 0, clients: [Client]) -> [Action] {
        guard case .sweeping(var run) = self.state, run.id == id else { return [] }
        if escaped > 0 {
            run.ownResult = .repaired
            run.repairedRows = Bounds.rows(run.repairedRows, and: escaped)
        }
        if unsent > 0 { run.ownResult = .differs }
        return self.nextPass(run, clients: clients)
    }

    /// The host's tables could not be swept.
    package mutating func sweepFailed(id: UInt64) -> [Action] {
        guard case .sweeping(var run) = self.state, run.id == id else { return [] }
        run.ownResult = .differs
        return self.finish(run, .differs)
    }

    /// A client reports.
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
        run.repairedRows = Bounds.rows(run.repairedRows, and: report.repairedRows)
        return self.proceed(run, clients: clients)
    }

    /// A client's store is locked: the client cannot be compared.
    package mutating func locked(_ connection: ConnectionID, clients: [Client]) -> [Action] {
        guard case .verifying(var run) = self.state,
            let index = run.accounts.firstIndex(where: { $0.client.connection == connection }),
            run.accounts[index].result == nil
        else { return [] }
        run.accounts[index].client.isStoreLocked = true
        run.accounts[index].result = .unreachable
        return self.proceed(run, clients: clients)
    }

    /// A client is gone; the sync continues without it.
    package mutating func lost(_ connection: ConnectionID, clients: [Client]) -> [Action] {
        guard case .verifying(var run) = self.state,
            let index = run.accounts.firstIndex(where: { $0.client.connection == connection })
        else { return [] }
        run.accounts.remove(at: index)
        return self.proceed(run, clients: clients)
    }

    /// A sync took too long.
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
            // Race: the sync has just ended.
            return []
        }
    }

    /// The host's store is locked: what waits in front of it cannot be compared, so nothing is proved.
    package mutating func storeLocked() -> [Action] {
        let unheard = self.wishes.map { Action.answer($0.requesters, self.lockedReport) }
        self.wishes = []
        switch self.state {
        case .idle: return unheard
        case .sweeping(var run), .verifying(var run):
            run.ownResult = .unreachable
            return self.finish(run, .unreachable) + unheard
        }
    }

    /// The answer to a request that comes while the host's store is locked.
    package func refuse(_ requester: Requester) -> [Action] { [.answer([requester], self.lockedReport)] }

    private var lockedReport: SyncReport {
        var own = self.host
        own.result = .unreachable
        return SyncReport(id: 0, result: .unreachable, repairedRows: 0, nodes: [own])
    }

    /// Answers all requesters, because this node is host no more or stops.
    package mutating func breakOff() -> [Action] {
        let unheard = self.wishes.map { Action.answer($0.requesters, Self.refusal) }
        self.wishes = []
        switch self.state {
        case .idle: return unheard
        case .sweeping(let run), .verifying(let run): return self.finish(run, .unreachable) + unheard
        }
    }

    // MARK: - Steps

    /// The answer to a request that was not tried.
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
            return Account(client: client, result: client.isStoreLocked ? .unreachable : nil, wasRepaired: wasRepaired)
        }
        let asked = run.accounts.filter { $0.result == nil }.map(\.client.connection)
        guard !asked.isEmpty else { return self.proceed(run, clients: clients) }
        self.state = .verifying(run)
        return [.verify(asked, SyncRequest(id: run.id, table: run.table))]
    }

    private mutating func proceed(_ run: Run, clients: [Client]) -> [Action] {
        guard run.accounts.allSatisfy({ $0.result != nil }) else {
            self.state = .verifying(run)
            return []
        }
        if run.accounts.allSatisfy({ $0.result == .equal || $0.client.isStoreLocked }) {
            let proved: ReconciliationResult = run.repairedRows > 0 ? .repaired : .equal
            return self.finish(run, Self.worse(proved, Self.worst(of: run)))
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
