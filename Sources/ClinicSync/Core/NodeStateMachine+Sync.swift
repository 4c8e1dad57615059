import ClinicSyncModel
import OrderedCollections

// The manual sync of the whole clinic, on the host and on the client that wishes it.
extension NodeStateMachine {
    /// The connected clients, in the order in which they connected.
    var clients: [SyncStateMachine.Client] {
        self.links.compactMap { id, link in
            guard link.report.role == .client, link.report.reign?.host == self.configuration.origin.node else {
                return nil
            }
            return SyncStateMachine.Client(connection: id, node: link.identity.node, name: link.identity.name)
        }
    }

    mutating func perform(_ command: Command, for request: RequestID) {
        switch command {
        case .sync(let table):
            if self.isHost {
                self.perform(self.sync.request(.command(request), table: table))
            } else {
                self.askHostToSync(table, for: request)
            }
        case .transferHost(let node):
            self.transferHost(to: node, for: request)
        case .login(let login):
            self.login(login, for: request)
        }
    }

    private mutating func askHostToSync(_ table: String?, for request: RequestID) {
        guard let host = self.hostConnection, self.syncWishes.count < CoreLimits.syncsWaitingMax else {
            return self.replyUnreachable(request)
        }
        self.lastSyncWish += 1
        let wish = SyncWish(id: self.lastSyncWish, request: request)
        self.syncWishes.append(wish)
        self.emit(.send([host], .syncRequest(SyncRequest(id: wish.id, table: table))))
        // The host's own time-out comes first, so that its report of who is missing arrives.
        let limit = self.configuration.syncLimit + self.configuration.silenceLimit
        self.emit(.setTimer(.syncTimeout(wish.id), after: limit))
    }

    mutating func receive(_ report: SyncReport) {
        // Benign race: a report that comes after our time-out.
        guard let index = self.syncWishes.firstIndex(where: { $0.id == report.id }) else { return }
        let wish = self.syncWishes.remove(at: index)
        self.emit(.cancelTimer(.syncTimeout(wish.id)))
        self.emit(.reply(wish.request, .synced(report)))
    }

    mutating func syncTimedOut(_ id: UInt64) {
        if self.isHost { return self.perform(self.sync.timedOut(id: id)) }
        guard let index = self.syncWishes.firstIndex(where: { $0.id == id }) else { return }
        self.replyUnreachable(self.syncWishes.remove(at: index).request)
    }

    /// Ends a wish; the caller takes it off the list.
    mutating func answer(_ wish: SyncWish, _ result: ReconciliationResult) {
        self.emit(.cancelTimer(.syncTimeout(wish.id)))
        let report = SyncReport(id: wish.id, result: result, repairedRows: 0, nodes: [])
        self.emit(.reply(wish.request, .synced(report)))
    }

    mutating func replyUnreachable(_ request: RequestID) {
        let report = SyncReport(id: 0, result: .unreachable, repairedRows: 0, nodes: [])
        self.emit(.reply(request, .synced(report)))
    }

    mutating func perform(_ actions: [SyncStateMachine.Action]) {
        for action in actions {
            switch action {
            case .sweep(let table, let id): self.submit(.sweep(table: table, .sync(id: id)))
            case .verify(let clients, let request): self.emit(.send(clients, .verifyRequest(request)))
            case .startTimer(let id): self.emit(.setTimer(.syncTimeout(id), after: self.configuration.syncLimit))
            case .stopTimer(let id): self.emit(.cancelTimer(.syncTimeout(id)))
            case .answer(let requesters, let report):
                for requester in requesters { self.answer(requester, report) }
            }
        }
    }

    private mutating func answer(_ requester: SyncStateMachine.Requester, _ report: SyncReport) {
        switch requester {
        case .command(let request):
            self.emit(.reply(request, .synced(report)))
        case .peer(let id, let number):
            // The client may be gone; then nobody waits.
            guard self.links[id] != nil else { return }
            var numbered = report
            numbered.id = number
            self.emit(.send([id], .syncReport(numbered)))
        }
    }
}
