package import ClinicSyncModel

/// The manual sync of the whole clinic: on the host the sync itself, on a client the wishes of its own people.
package struct ManualSyncStateMachine: Sendable, Hashable {
    private let syncLimit: Duration
    private var clinic: SyncStateMachine
    private var wishes: SyncWishStateMachine

    /// Makes a machine without a sync.
    package init(_ configuration: CoreConfiguration) {
        self.syncLimit = configuration.syncLimit
        self.clinic = SyncStateMachine(
            host: configuration.origin.node,
            name: configuration.nodeName,
            passesMax: configuration.syncPassesMax
        )
        self.wishes = SyncWishStateMachine(limit: configuration.syncLimit + configuration.silenceLimit)
    }

    // MARK: - The host's part

    /// A client asks for a sync.
    package mutating func requested(
        _ request: SyncRequest,
        by id: ConnectionID,
        _ context: NodeContext
    ) -> [Directive] {
        self.begin(.peer(id, id: request.id), table: request.table, context)
    }

    private mutating func begin(_ requester: Requester, table: String?, _ context: NodeContext) -> [Directive] {
        guard !context.isStoreLocked else { return self.perform(self.clinic.refuse(requester)) }
        return self.perform(self.clinic.request(requester, table: table))
    }

    /// A client's store is locked.
    package mutating func locked(_ id: ConnectionID, clients: [LinkedPeer]) -> [Directive] {
        self.perform(self.clinic.locked(id, clients: ManualSyncStateMachine.clients(clients)))
    }

    /// The store of this node is locked.
    package mutating func storeLocked() -> [Directive] { self.perform(self.clinic.storeLocked()) }

    /// A client reports that its verification is done.
    package mutating func reported(_ report: VerifyReport, by id: ConnectionID, clients: [LinkedPeer]) -> [Directive] {
        self.perform(self.clinic.reported(report, from: id, clients: ManualSyncStateMachine.clients(clients)))
    }

    /// The host's tables are swept for the sync `id`.
    package mutating func swept(id: UInt64, escaped: Int, unsent: Int, clients: [LinkedPeer]) -> [Directive] {
        let clients = ManualSyncStateMachine.clients(clients)
        return self.perform(self.clinic.swept(id: id, escaped: escaped, unsent: unsent, clients: clients))
    }

    /// The host's tables could not be swept.
    package mutating func sweepFailed(id: UInt64) -> [Directive] { self.perform(self.clinic.sweepFailed(id: id)) }

    /// A link of the host is gone.
    package mutating func lost(_ id: ConnectionID, clients: [LinkedPeer]) -> [Directive] {
        self.perform(self.clinic.lost(id, clients: ManualSyncStateMachine.clients(clients)))
    }

    /// This node is host no more.
    package mutating func abdicated() -> [Directive] { self.perform(self.clinic.breakOff()) }

    // MARK: - Both parts

    /// A person or program on this PC asks for a sync.
    package mutating func commanded(table: String?, request: RequestID, _ context: NodeContext) -> [Directive] {
        if context.isHost { return self.begin(.command(request), table: table, context) }
        return self.wishes.ask(context.host, table: table, request: request).directives
    }

    /// On a client, a person or program wants to know what the host knows of the members; `nil`: no host answers that.
    package mutating func membersCommanded(request: RequestID, host: ConnectionID?) -> [Directive] {
        self.wishes.ask(host, table: nil, isAboutMembers: true, request: request).directives
    }

    /// A sync took too long.
    package mutating func timedOut(_ id: UInt64, isHost: Bool) -> [Directive] {
        isHost ? self.perform(self.clinic.timedOut(id: id)) : self.wishes.timedOut(id).directives
    }

    // MARK: - The client's part

    /// The host's report arrived.
    package mutating func reported(_ report: SyncReport) -> [Directive] {
        self.wishes.reported(report).directives
    }

    /// The host changed, or the node stops: the wishes of this PC's people are answered.
    package mutating func answerWishes() -> [Directive] { self.wishes.breakOff().directives }

    // MARK: - Steps

    private static func clients(_ peers: [LinkedPeer]) -> [SyncStateMachine.Client] {
        peers.filter(\.isFollower).map { peer in
            SyncStateMachine.Client(
                connection: peer.connection,
                node: peer.identity.node,
                name: peer.identity.name,
                isStoreLocked: peer.isStoreLocked
            )
        }
    }

    private func perform(_ actions: [SyncStateMachine.Action]) -> [Directive] {
        actions.flatMap { action -> [Directive] in
            switch action {
            case .sweep(let table, let id): [.submit(.sweep(table: table, .sync(id: id)))]
            case .verify(let clients, let request): [.effect(.send(clients, .verifyRequest(request)))]
            case .startTimer(let id): [.effect(.setTimer(.syncTimeout(id), after: self.syncLimit))]
            case .stopTimer(let id): [.effect(.cancelTimer(.syncTimeout(id)))]
            case .answer(let requesters, let report): requesters.map { self.answer($0, report) }
            }
        }
    }

    private func answer(_ requester: Requester, _ report: SyncReport) -> Directive {
        switch requester {
        case .command(let request):
            return .effect(.reply(request, .synced(report)))
        case .peer(let id, let number):
            var numbered = report
            numbered.id = number
            return .send(id, .syncReport(numbered))
        }
    }
}
