import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import Logging
import NIOCore
import ServiceLifecycle

/// One run of a node: makes and connects the parts, and serves until the driver ends.
struct NodeRun: Sendable {
    let settings: NodeSettings
    let state: NodeState
    let events: EventBroadcaster
    let trust: TrustStore
    /// The members that this node knows by signatures.
    let register: MemberRegister
    let storage: StorageService
    let inbox = Inbox()
    /// The event loop of the driver, its timers, the connections with other nodes and the commit watcher.
    ///
    /// All are on one, so that nothing is handed over between threads on the way of a change but to the store and back.
    let loop: any EventLoop
    /// Ends the run when the node must follow an epoch.
    let epochs: EpochWatch
    /// The parts that serve people.
    ///
    /// They have threads, so the run must close them.
    let people: PeopleAgents
    /// The round trips of the last hour.
    let latencies = LatencyLog()

    /// Makes a run with an open store.
    ///
    /// The caller must call ``close()``.
    init(
        settings: NodeSettings,
        state: NodeState,
        events: EventBroadcaster,
        trust: TrustStore,
        register: MemberRegister,
        storage: StorageService
    ) {
        self.settings = settings
        self.state = state
        self.events = events
        self.trust = trust
        self.register = register
        self.storage = storage
        self.loop = settings.group.next()
        self.epochs = EpochWatch(
            path: settings.directory.databaseURL.path,
            opened: storage.epoch,
            greatest: { trust.epoch },
            clock: settings.clock,
            logger: settings.logger
        ) { [inbox] in inbox.post($0) }
        self.storage.lockWatch.begin { [inbox] in inbox.post($0) }
        self.storage.diskWatch.begin { [inbox] in inbox.post($0) }
        self.people = PeopleAgents(settings, state: state, register: self.register, storage: storage, inbox: self.inbox)
    }

    /// Stops the threads and closes the store.
    func close() async throws {
        try await self.people.close()
        try await self.storage.close()
    }

    /// Makes the collector check at once for rows that the node itself wrote.
    var wrote: @Sendable () -> Void { { [inbox] in inbox.post(.localCommitNoticed) } }

    /// Runs until a graceful shutdown or an error.
    ///
    /// - Parameter started: called when the node can answer people and programs.
    /// - Throws: ``ClinicSyncError``, and what the store throws.
    func run(started: (RunningNode) -> Void) async throws {
        self.readEvents()
        try await self.learnMembers()
        // Post this first: peers may connect and programs may commit as soon as the node listens and watches.
        self.inbox.post(.started(self.storage.initialState))
        self.announceRebuilt()
        self.announceFollowed()
        let desk = try self.makeDesk()
        let hints = self.makeMemberHints()
        let exchange = self.makeExchange(hints: hints)
        let transport = PeerTransport(
            group: self.loop,
            limits: TransportLimits(),
            authenticator: MemberAuthenticator(trust: self.trust, register: self.register) { [inbox, register] node in
                // The peer's first message comes after this, so the core knows the peer when it reads the message.
                inbox.post(.membersChanged(register.known))
                exchange.met(node)
            },
            enrollment: desk,
            isLANOnly: self.settings.configuration.isLANOnly,
            logger: self.settings.logger
        ) { [inbox] in inbox.post($0) }
        let listen = try NetworkAddress(
            parsing: try await transport.listen(on: self.settings.configuration.listen.description)
        )
        self.state.listens(at: listen)
        // Before the core's first election: a node that knows no address takes itself for the first of its clinic.
        hints.read(MemberList.rows(of: self.register))
        let discovery = self.makeDiscovery(listen: listen)
        let addresses = self.makeAddressWatch(listen: listen, exchange: exchange)
        let renewal = self.makeRenewal(exchange: exchange, transport: transport)
        let driver = self.makeDriver(transport: transport, exchange: exchange, discovery: discovery)
        let status = NodeStatusControl(of: self, transport: transport, exchange: exchange, driver: driver)
        let control = self.makeControl(
            driver: driver,
            transport: transport,
            desk: desk,
            exchange: exchange,
            status: status
        )
        started(
            RunningNode(control: control, transport: transport, storage: self.storage, inbox: self.inbox)
        )
        let agents: [@Sendable () async throws -> Void] = [
            { try await exchange.run { transport.reviewPeers() } }, { try await renewal.run() },
            { try await addresses.run() },
            { try await discovery?.run() }, { try await self.people.run() },
            {
                try await self.latencies.run(clock: self.settings.clock, metrics: self.settings.metrics) {
                    await self.inbox.status()
                }
            },
            { try await status.watchVerdict(logger: self.settings.logger) },
            { try await status.forwardGauges() }, { try await self.watchFile() },
            { try await self.logHealth(status) },
            { try await self.epochs.run() },
            { try await self.watchDisk() },
        ]
        do {
            try await self.watch {
                try await self.serve(driver: driver, control: control, listen: listen, agents: agents)
            }
        } catch {
            await transport.shutdown()
            throw error
        }
        await transport.shutdown()
        self.events.finish()
        try self.epochs.finish()
    }

    /// Logs what begins and ends to be not well.
    private func logHealth(_ status: NodeStatusControl) async throws {
        var log = HealthLog(logger: self.settings.logger, changes: self.settings.metrics.tableCounts)
        try await log.run { await status.health().findings }
    }

    /// Makes the log of events available to programs that resume.
    private func readEvents() {
        self.events.attach(lastPosition: self.storage.lastEventPosition) { [storage] after, limit in
            try await storage.read { try $0.events(after: after, limit: limit) }
        }
    }

    /// Makes the driver, which runs the core and executes its effects.
    private func makeDriver(
        transport: PeerTransport,
        exchange: TrustExchange,
        discovery: DiscoveryAgent?
    ) -> NodeDriver {
        NodeDriver(
            configuration: CoreConfiguration(
                self.settings,
                state: self.state,
                storage: self.storage,
                register: self.register
            ),
            surroundings: NodeDriver.Surroundings(
                state: self.state,
                inbox: self.inbox,
                transport: transport,
                storage: self.storage,
                events: self.events,
                telemetry: NodeTelemetry(
                    logger: self.settings.logger,
                    metrics: self.settings.metrics,
                    wallMilliseconds: { [clock = self.settings.clock] in clock.wallMilliseconds },
                    onEvent: { [inbox] in inbox.post(.eventOccurred($0)) }
                ),
                metrics: self.settings.metrics,
                loop: self.loop,
                clock: self.settings.clock,
                onSignedEntry: { exchange.offer($0) },
                proof: { [register] in register.member($0)?.proof.chain },
                onAgentTablesChanged: { [people] changes in
                    if !changes.tables.isDisjoint(with: AgentTables.trust) { exchange.tablesChanged() }
                    people.tablesChanged(changes)
                },
                onProbeAnswered: { [people] in people.probe.answered($0) },
                onAnswersToRecord: { [people] in people.probe.mustRecord($0) },
                onRoleChanged: { term, isHost in discovery?.advertise(term: term, isHost: isHost) }
            )
        )
    }

    /// Makes the operations that people and programs can request.
    private func makeControl(
        driver: NodeDriver,
        transport: PeerTransport,
        desk: EnrollmentDesk,
        exchange: TrustExchange,
        status: NodeStatusControl
    ) -> NodeControl {
        let members = MemberList(state: self.state, register: self.register)
        return NodeControl(
            status: status,
            tables: NodeTableControl(of: self, others: status.members),
            members: NodeMemberControl(
                of: self,
                transport: transport,
                desk: desk,
                exchange: exchange,
                others: status.members
            ),
            conflicts: NodeConflictControl(storage: self.storage, members: members, wrote: self.wrote),
            sessions: NodeSessionControl(
                state: self.state,
                storage: self.storage,
                driver: driver,
                passwords: self.people.passwords,
                inbox: self.inbox
            ),
            notices: NodeNoticeControl(
                state: self.state,
                storage: self.storage,
                trust: self.trust,
                members: members,
                wrote: self.wrote
            ),
            probes: NodeProbeControl(agent: self.people.probe, members: members),
            events: self.events
        )
    }

    /// Runs `body` while watching for commits of programs.
    private func watch(while body: () async throws -> Void) async throws {
        let watcher = try await CommitWatcher.start(
            databasePath: self.settings.directory.databaseURL.path,
            on: self.loop
        ) { [inbox] in inbox.post(.localCommitNoticed) }
        do {
            try await body()
        } catch {
            await watcher.stop()
            throw error
        }
        await watcher.stop()
    }

    /// Runs the driver, the local API and the certificate tasks concurrently; the end of the driver ends all.
    private func serve(
        driver: NodeDriver,
        control: NodeControl,
        listen: NetworkAddress,
        agents: [@Sendable () async throws -> Void]
    ) async throws {
        let server = LocalAPIServer(
            address: self.settings.configuration.api,
            token: try self.settings.directory.tokenMakingIfMissing(),
            programs: ProgramTokens(self.settings.directory),
            allowedOrigins: self.settings.configuration.allowedOrigins,
            control: control,
            group: self.settings.group,
            logger: self.settings.logger
        ) { address in
            try self.settings.directory.writeAPIAddress(address)
            self.settings.onReady(ReadyInfo(listen: listen.description, api: address.description))
            self.settings.logger.notice(
                "Node is ready",
                metadata: ["node.listen": "\(listen)", "api.address": "\(address)"]
            )
        }
        try await withGracefulShutdownHandler {
            try await withThrowingTaskGroup(of: StopReason?.self) { tasks in
                tasks.addTask(executorPreference: LoopTaskExecutor(self.loop)) { await driver.run() }
                tasks.addTask {
                    try await server.run()
                    return nil
                }
                for agent in agents {
                    tasks.addTask {
                        // The end of the driver cancels this task, which is not a failure.
                        do { try await agent() } catch is CancellationError {}
                        return nil
                    }
                }
                var stopReason = StopReason.requested
                // The server ends after a graceful shutdown. The driver still sends goodbyes to its peers.
                while let ended = try await tasks.next() {
                    guard let reason = ended else { continue }
                    stopReason = reason
                    tasks.cancelAll()
                }
                guard stopReason == .requested else {
                    throw ClinicSyncError(
                        .numbersTaken,
                        "Other PCs have other changes under this PC's numbers: start the node again, on new numbers."
                    )
                }
            }
        } onGracefulShutdown: {
            self.storage.lockWatch.stop()
            self.inbox.post(.shutdownRequested)
        }
    }
}
