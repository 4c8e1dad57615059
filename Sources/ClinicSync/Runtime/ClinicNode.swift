package import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
public import Foundation
public import Logging
public import NIOCore
public import NIOPosix
public import ServiceLifecycle

/// One node of a clinic: owns its directory, serves its peers and the programs of its PC.
///
/// Making it does nothing; ``run()`` does everything and returns when the node was asked to stop, in order. Run it in a
/// `ServiceGroup`, which turns signals into a graceful shutdown:
///
/// ```swift
/// let node = try ClinicNode(directory: URL(filePath: "/var/lib/clinic-node"), logger: logger)
/// try await ServiceGroup(services: [node], gracefulShutdownSignals: [.sigterm], logger: logger).run()
/// ```
///
/// While it runs, ``status()``, ``sync(table:timeout:)`` and ``events(categories:tables:since:)`` answer; programs
/// write the database file ``databaseURL`` with whatever SQLite they have.
public final class ClinicNode: Service {
    let directory: NodeDirectory
    let configuration: NodeConfiguration
    let identity: NodeIdentity
    let logger: Logger
    let group: any EventLoopGroup
    let clock: NodeClock
    let renewalPace: CertificateRenewal.Pace
    private let tuning: @Sendable (inout CoreConfiguration) -> Void
    private let onReady: @Sendable (ReadyInfo) -> Void
    private let events: EventBroadcaster
    let controlBox: RunningNodeControl

    /// Prepares the node whose files are in `directory`, which ``create(in:clinicName:nodeName:admin:)`` or
    /// ``join(_:in:host:nodeName:)`` made.
    ///
    /// - Parameters:
    ///   - directory: the node's files.
    ///   - configuration: settings; ``NodeConfiguration/validate()`` is called.
    ///   - logger: where the node logs; it adds its own metadata.
    ///   - group: event loops to use.
    ///   - onReady: called once in each run, when the node serves.
    /// - Throws: ``ClinicSyncError`` of code `notANode`, `corrupt`, `configuration` or `addressNotAllowed`.
    public convenience init(
        directory: URL,
        configuration: NodeConfiguration = NodeConfiguration(),
        logger: Logger,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        onReady: @escaping @Sendable (ReadyInfo) -> Void = { _ in }
    ) throws {
        try configuration.validate()
        try self.init(
            directory: NodeDirectory(url: directory),
            configuration: configuration,
            logger: logger,
            group: group,
            clock: NodeClock(),
            onReady: onReady
        )
    }

    /// Prepares the node of `directory`.
    ///
    /// - Parameters:
    ///   - directory: the node's files.
    ///   - configuration: validated settings.
    ///   - logger: where the node logs; it adds its own metadata.
    ///   - group: event loops to use.
    ///   - clock: the node's clocks.
    ///   - renewalPace: how often to look whether the certificate must be renewed.
    ///   - tuning: changes the core's limits, for tests.
    ///   - onReady: called once, when the node serves.
    /// - Throws: ``ClinicSyncError`` of code `notANode` or `corrupt`.
    package init(
        directory: NodeDirectory,
        configuration: NodeConfiguration,
        logger: Logger,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        clock: NodeClock = NodeClock(),
        renewalPace: CertificateRenewal.Pace = CertificateRenewal.Pace(),
        tuning: @escaping @Sendable (inout CoreConfiguration) -> Void = { _ in },
        onReady: @escaping @Sendable (ReadyInfo) -> Void = { _ in }
    ) throws {
        self.directory = directory
        self.configuration = configuration
        self.identity = try directory.identity()
        var logger = logger
        logger[metadataKey: "node.id"] = "\(self.identity.nodeID)"
        self.logger = logger
        self.group = group
        self.clock = clock
        self.renewalPace = renewalPace
        self.tuning = tuning
        self.onReady = onReady
        self.events = EventBroadcaster { clock.wallMilliseconds }
        self.controlBox = RunningNodeControl(identity: self.identity, events: self.events, clock: clock)
    }

    /// What people and programs can ask of the node; answers once it runs.
    package var control: any NodeControl { self.controlBox }

    /// The files.
    var files: NodeDirectory { self.directory }

    /// Resets every connection with other nodes and lets none come up until ``healConnections()``; for tests.
    package func cutConnections() { self.controlBox.transport?.cut() }

    /// Ends ``cutConnections()``.
    package func healConnections() { self.controlBox.transport?.heal() }

    /// Ends ``run()`` as the end of the process would: without a goodbye, without finishing what was begun; for tests.
    package func kill() { self.controlBox.kill() }

    /// Longer than any clinic lives.
    private static let keepForEver = Duration.seconds(1_000 * 365 * 86_400)

    /// Runs the node until a graceful shutdown or an error.
    ///
    /// - Throws: ``ClinicSyncError``: `alreadyRunning`, `portInUse`, `addressNotAllowed`, `storage`, `corrupt`,
    ///   `newerDatabase`, `permission`, `diskFull`, and `revoked` when the clinic has sent the node away.
    public func run() async throws {
        let lock = try self.directory.lockForRunning()
        defer { withExtendedLifetime(lock) {} }
        let trust = try self.loadTrust()
        try await StorageErrors.mapping {
            let storage = try await StorageService.open(
                path: self.directory.databaseURL.path,
                origin: Origin(node: self.identity.nodeID),
                // Nothing is pruned yet: a node that joins later gets everything from the log, and a host that had
                // pruned could only refuse it. `log.retention` takes effect when the state can be sent instead.
                retention: ClinicNode.keepForEver,
                wallClock: { [clock] in clock.wallMilliseconds }
            )
            if let rebirth = storage.rebirth {
                self.logger.notice(
                    "The database is a copy or came from a backup: the node goes on under new batch numbers",
                    metadata: ["store.rebirth": "\(rebirth.rawValue)", "store.origin": "\(storage.origin)"]
                )
            }
            let people = self.makePeople(storage, trusting: trust)
            do {
                try await self.run(with: storage, people: people, trusting: trust)
            } catch {
                try await people.close()
                try await storage.close()
                throw error
            }
            try await people.close()
            try await storage.close()
        }
    }

    private func run(with storage: StorageService, people: PeopleAgents, trusting trust: TrustStore) async throws {
        self.readEvents(from: storage)
        let inbox = Inbox()
        // Before anything else can post: a peer may connect, or a program commit, as soon as we listen and watch.
        inbox.post(.started(storage.initialState))
        let desk = try self.makeDesk(trust)
        let transport = PeerTransport(
            group: self.group,
            limits: TransportLimits(),
            authenticator: trust,
            enrollment: desk,
            isLANOnly: self.configuration.isLANOnly,
            logger: self.logger
        ) { inbox.post($0) }
        let listen = try await transport.listen(on: self.configuration.listen.description)
        let listenAddress = try NetworkAddress(parsing: listen)
        let exchange = self.makeExchange(
            trust,
            storage: storage,
            transport: transport,
            listen: listenAddress,
            inbox: inbox
        )
        let discovery = self.makeDiscovery(
            listen: listenAddress,
            schemaVersion: Int(storage.initialState.schemaVersion),
            inbox: inbox
        )
        let addresses = self.makeAddressWatch(listen: listenAddress, exchange: exchange, inbox: inbox)
        let renewal = self.makeRenewal(trust, exchange: exchange, storage: storage, transport: transport)
        let driver = self.makeDriver(
            listen: listen,
            inbox: inbox,
            transport: transport,
            storage: storage,
            exchange: exchange,
            people: people,
            discovery: discovery
        )
        self.controlBox.start(
            RunningNodeControl.Running(
                driver: driver,
                inbox: inbox,
                storage: storage,
                people: people,
                transport: transport,
                trust: trust,
                desk: desk,
                exchange: exchange,
                listen: listen,
                startedAt: self.clock.now.monotonic
            )
        )
        defer { self.controlBox.end() }
        let agents: [@Sendable () async throws -> Void] = [
            { try await exchange.run() }, { try await renewal.run() }, { try await addresses.run() },
            { try await discovery?.run() }, { try await people.run() }, { try await self.controlBox.recordLatencies() },
        ]
        do {
            try await self.watch(inbox) {
                try await self.serve(driver: driver, inbox: inbox, listen: listen, agents: agents)
            }
        } catch {
            await transport.shutdown()
            throw error
        }
        await transport.shutdown()
        self.events.finish()
    }

    /// Lets programs that come back read the log of events.
    private func readEvents(from storage: StorageService) {
        self.events.attach(lastPosition: storage.lastEventPosition) { after, limit in
            try await storage.read { try $0.events(after: after, limit: limit) }
        }
    }

    /// Makes what drives the core and carries out what it decides.
    private func makeDriver(
        listen: String,
        inbox: Inbox,
        transport: PeerTransport,
        storage: StorageService,
        exchange: TrustExchange,
        people: PeopleAgents,
        discovery: DiscoveryAgent?
    ) -> NodeDriver {
        NodeDriver(
            configuration: self.coreConfiguration(listen: listen, origin: storage.origin),
            surroundings: NodeDriver.Surroundings(
                inbox: inbox,
                transport: transport,
                storage: storage,
                events: self.events,
                telemetry: NodeTelemetry(
                    logger: self.logger,
                    wallMilliseconds: { [clock] in clock.wallMilliseconds },
                    onEvent: { inbox.post(.eventOccurred($0)) }
                ),
                loop: self.group.next(),
                clock: self.clock,
                onRevocation: { exchange.offer(revocation: $0) },
                onAgentTablesChanged: { tables in
                    if !tables.isDisjoint(with: AgentTables.trust) { exchange.tablesChanged() }
                    people.tablesChanged(tables)
                },
                onRoleChanged: { term, isHost in discovery?.advertise(term: term, isHost: isHost) }
            )
        )
    }

    /// Runs `body` while commits of programs are watched for.
    private func watch(_ inbox: Inbox, while body: () async throws -> Void) async throws {
        let watcher = try await CommitWatcher.start(
            databasePath: self.directory.databaseURL.path,
            on: self.group.next()
        ) { inbox.post(.localCommitNoticed) }
        do {
            try await body()
        } catch {
            await watcher.stop()
            throw error
        }
        await watcher.stop()
    }

    /// Runs the driver, the local API and what keeps the certificates side by side; the end of the driver ends all.
    private func serve(
        driver: NodeDriver,
        inbox: Inbox,
        listen: String,
        agents: [@Sendable () async throws -> Void]
    ) async throws {
        let server = LocalAPIServer(
            address: self.configuration.api,
            token: try self.directory.tokenMakingIfMissing(),
            allowedOrigins: self.configuration.allowedOrigins,
            control: self.control,
            group: self.group,
            logger: self.logger
        ) { address in
            try self.directory.writeAPIAddress(address)
            self.onReady(ReadyInfo(listen: listen, api: address.description))
            self.logger.notice("Node is ready", metadata: ["node.listen": "\(listen)", "api.address": "\(address)"])
        }
        try await withGracefulShutdownHandler {
            try await withThrowingTaskGroup(of: Bool.self) { tasks in
                tasks.addTask {
                    await driver.run()
                    return true
                }
                tasks.addTask {
                    try await server.run()
                    return false
                }
                for agent in agents {
                    tasks.addTask {
                        // Cancelled with the end of the driver, which is no failure.
                        do { try await agent() } catch is CancellationError {}
                        return false
                    }
                }
                // The server ends by itself on a graceful shutdown; the driver then still says goodbye to its peers.
                while let isDriver = try await tasks.next() {
                    if isDriver { tasks.cancelAll() }
                }
            }
        } onGracefulShutdown: {
            inbox.post(.shutdownRequested)
        }
    }

    /// Where others may be reached, before anybody has said so: the host that let this node in, and what is configured.
    private var hints: [PeerHint] {
        let configured = self.configuration.peers.map {
            PeerHint(address: $0.description, node: nil, source: .configured)
        }
        guard let host = self.identity.host else { return configured }
        return [PeerHint(address: host.address, node: host.nodeID, source: .remembered)] + configured
    }

    private func coreConfiguration(listen: String, origin: Origin) -> CoreConfiguration {
        var generator = SystemRandomNumberGenerator()
        var core = CoreConfiguration(
            origin: origin,
            nodeName: self.identity.nodeName,
            clinicID: self.identity.clinicID,
            clinicName: self.identity.clinicName,
            softwareVersion: SoftwareVersion.current,
            addresses: self.advertised(listen),
            hints: self.hints,
            randomSeed: generator.next()
        )
        core.priority = UInt32(clamping: self.configuration.priority)
        core.reconcileInterval = self.configuration.reconcileEvery
        self.tuning(&core)
        return core
    }
}
