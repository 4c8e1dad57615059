package import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
public import Foundation
public import Logging
public import Metrics
import NIOConcurrencyHelpers
public import NIOCore
public import NIOPosix
public import ServiceLifecycle

/// One node of a clinic: owns its directory, serves its peers and the programs of its PC.
///
/// Making a node starts nothing. ``run()`` does all the work and returns after a graceful shutdown. Run the node in a
/// `ServiceGroup`, which turns signals into a graceful shutdown:
///
/// ```swift
/// let node = try ClinicNode(directory: URL(filePath: "/var/lib/clinic-node"), logger: logger)
/// try await ServiceGroup(services: [node], gracefulShutdownSignals: [.sigterm], logger: logger).run()
/// ```
///
/// While it runs, ``status()``, ``sync(table:timeout:)`` and ``events(categories:tables:since:)`` answer; programs
/// write the database file ``databaseURL`` with any SQLite library.
public final class ClinicNode: Service {
    let settings: NodeSettings
    let state: NodeState
    let events: EventBroadcaster
    private let running = NIOLockedValueBox<RunningNode?>(nil)
    /// Whether the node was ready in this run.
    private let wasReady: NIOLockedValueBox<Bool>

    /// Prepares the node whose files are in `directory`.
    ///
    /// ``create(in:clinicName:nodeName:admin:)`` or ``join(_:in:host:nodeName:)`` made these files.
    ///
    /// - Parameters:
    ///   - directory: the node's files.
    ///   - configuration: settings; ``NodeConfiguration/validate()`` is called.
    ///   - logger: where the node logs; it adds its own metadata.
    ///   - group: event loops to use.
    ///   - metrics: a backend that receives the node's metrics, besides `GET /metrics`; `docs/METRICS.md` lists them.
    ///   - onReady: called once in each run, when the node is ready.
    /// - Throws: ``ClinicSyncError`` of code `notANode`, `corrupt`, `configuration` or `addressNotAllowed`.
    public convenience init(
        directory: URL,
        configuration: NodeConfiguration = NodeConfiguration(),
        logger: Logger,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        metrics: (any MetricsFactory)? = nil,
        onReady: @escaping @Sendable (ReadyInfo) -> Void = { _ in }
    ) throws {
        try configuration.validate()
        try self.init(
            directory: NodeDirectory(url: directory),
            configuration: configuration,
            logger: logger,
            group: group,
            metrics: metrics,
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
    ///   - metrics: a backend that also receives the node's metrics.
    ///   - clock: the node's clocks.
    ///   - renewalPace: how often the node checks whether it must renew the certificate.
    ///   - tuning: changes the core's limits, for tests.
    ///   - onReady: called once, when the node is ready.
    /// - Throws: ``ClinicSyncError`` of code `notANode` or `corrupt`.
    package init(
        directory: NodeDirectory,
        configuration: NodeConfiguration,
        logger: Logger,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        metrics: (any MetricsFactory)? = nil,
        clock: NodeClock = NodeClock(),
        renewalPace: CertificateRenewal.Pace = CertificateRenewal.Pace(),
        tuning: @escaping @Sendable (inout CoreConfiguration) -> Void = { _ in },
        onReady: @escaping @Sendable (ReadyInfo) -> Void = { _ in }
    ) throws {
        let identity = try directory.identity()
        var logger = logger
        logger[metadataKey: "node.id"] = "\(identity.nodeID)"
        let wasReady = NIOLockedValueBox(false)
        self.wasReady = wasReady
        self.settings = NodeSettings(
            directory: directory,
            configuration: configuration,
            logger: logger,
            group: group,
            clock: clock,
            metrics: NodeMetrics(alsoTo: metrics),
            renewalPace: renewalPace,
            tuning: tuning,
            onReady: { info in
                wasReady.withLockedValue { $0 = true }
                onReady(info)
            }
        )
        self.state = NodeState(identity: identity, clock: clock)
        self.events = EventBroadcaster { clock.wallMilliseconds }
    }

    /// The state that this node gets in place of history; `nil` when it gets none, or does not run.
    ///
    /// It reads what the node noted last, so it costs nothing and can be read every second from any thread.
    public var stateTransfer: StateTransferSummary? {
        self.state.standing?.stateTransfer.map { StateTransferSummary($0, names: self.state.greeted) }
    }

    /// Returns the operations that people and programs can request of the node.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notReachable` while the node does not run.
    func control() throws -> NodeControl {
        guard let running = self.running.withLockedValue({ $0 }) else {
            throw ClinicSyncError(.notReachable, "The node is starting or stopping: try again in a moment.")
        }
        return running.control
    }

    /// Returns when the node's loop has handled all that was queued before; at once when the node does not run.
    ///
    /// Whoever watches over the process can tell a node that works from one that hangs.
    package func answer() async { _ = await self.running.withLockedValue({ $0 })?.inbox.status() }

    /// Resets every connection with other nodes and allows none until ``healConnections()``; for tests.
    package func cutConnections() { self.running.withLockedValue { $0 }?.transport.cut() }

    /// Ends ``cutConnections()``.
    package func healConnections() { self.running.withLockedValue { $0 }?.transport.heal() }

    /// Ends ``run()`` like the end of the process: without a goodbye, and without finishing work in progress; for
    /// tests.
    package func kill() { self.running.withLockedValue { $0 }?.kill() }

    /// Runs the node until a graceful shutdown or an error; on a full disk it starts as soon as there is room.
    ///
    /// - Throws: ``ClinicSyncError``: `alreadyRunning`, `portInUse`, `addressNotAllowed`, `storage`, `corrupt`,
    ///   `newerDatabase`, `permission`, `databaseReplaced`, and `revoked` when the clinic has revoked the node. After
    ///   `numbersTaken` and `broughtBack` make another node of the directory and run it: it goes on under new numbers, or
    ///   with the data to which the whole clinic was brought back.
    public func run() async throws {
        self.wasReady.withLockedValue { $0 = false }
        var isTold = false
        while true {
            do {
                return try await self.runOnce()
            } catch let error as ClinicSyncError where self.mustWaitForRoom(error) {
                if !isTold {
                    self.settings.logger.error(
                        "The disk is full, so the node cannot start: it starts by itself when there is room",
                        metadata: [
                            "finding.check": "\(FindingCode.diskFull.rawValue)",
                            "finding.remedy": "\(FindingCode.diskFull.remedy)", "error.message": "\(error.message)",
                        ]
                    )
                }
                isTold = true
                do {
                    try await cancelWhenGracefulShutdown { try await Task.sleep(for: ClinicNode.roomInterval) }
                } catch is CancellationError {}
                guard !Task.isShuttingDownGracefully, !Task.isCancelled else { return }
            }
        }
    }

    /// The time between two attempts to start on a full disk.
    private static let roomInterval = Duration.seconds(2)

    /// Whether a start failed for want of room; SQLite reports some of these failures as errors of the disk.
    private func mustWaitForRoom(_ error: ClinicSyncError) -> Bool {
        guard !self.wasReady.withLockedValue({ $0 }) else { return false }
        return error.code == .diskFull
            || error.code == .storage && SlowDiskWatch.freeBytes(at: self.settings.directory.url.path) == 0
    }

    private func runOnce() async throws {
        let lock = try self.settings.directory.lockForRunning()
        defer { withExtendedLifetime(lock) {} }
        try self.settings.directory.requirePrivate()
        // A kill after the last step of the setup leaves the mark. Without it no later command takes the database for a remainder.
        self.settings.directory.removeSetupMark()
        if let group = self.settings.configuration.group { try self.settings.directory.share(with: group) }
        for warning in try self.settings.directory.permissionWarnings() {
            self.settings.logger.warning(
                "The permissions of the database are too wide",
                metadata: ["permission.advice": "\(warning)"]
            )
        }
        let trust = try NodeRun.loadTrust(self.settings)
        try await StorageErrors.mapping {
            let register = MemberRegister(trust: trust)
            let storage = try await self.openStorage(register, trust)
            let run = NodeRun(
                settings: self.settings,
                state: self.state,
                events: self.events,
                trust: trust,
                register: register,
                storage: storage
            )
            do {
                try await self.run(run)
            } catch {
                try await run.close()
                throw error
            }
            try await run.close()
        }
    }

    private func run(_ run: NodeRun) async throws {
        defer {
            self.running.withLockedValue { $0 = nil }
            self.state.ended()
        }
        try await run.run { running in self.running.withLockedValue { $0 = running } }
    }

    private static func log(_ rebuilt: StorageService.Rebuilt, to logger: Logger) {
        logger.error(
            "The database could not be used and was made again: its rows come from the other PCs",
            metadata: [
                "file.found": "\(rebuilt.found)", "file.set_aside": "\(rebuilt.outcome.aside ?? "none")",
                "file.merged_batches": "\(rebuilt.outcome.batches)",
                "file.unreadable": "\(rebuilt.outcome.unreadable)",
                "file.not_taken_over": "\(rebuilt.outcome.lost ?? "nothing")",
            ]
        )
    }

    private static func logLock(by holder: StoreLock.Holder?, to logger: Logger) {
        logger.warning(
            "A program keeps a write transaction in clinic.db open: the node starts when that program ends it",
            metadata: [
                "lock.process": "\(holder.map { String($0.process) } ?? "unknown")",
                "lock.program": "\(holder?.program ?? "unknown")",
            ]
        )
    }

    private static func log(_ followed: EpochState.Followed, to logger: Logger) {
        logger.warning(
            "The whole clinic was brought back to a backup: the former database was set aside, the rows come from the other PCs",
            metadata: [
                "epoch.number": "\(followed.epoch.number)", "epoch.node": "\(followed.epoch.node)",
                "file.set_aside": "\(followed.outcome.aside ?? "none")",
                "file.own_batches": "\(followed.outcome.unshared)",
                "file.not_read": "\(followed.outcome.lost ?? "nothing")",
            ]
        )
    }

    private func openStorage(_ register: MemberRegister, _ trust: TrustStore) async throws -> StorageService {
        let isTold = NIOLockedValueBox(false)
        let storage = try await StorageService.open(
            StorageService.Opening(
                path: self.settings.directory.databaseURL.path,
                origin: Origin(node: self.state.id),
                retention: self.settings.configuration.logRetention,
                judge: { register.members(in: $0) },
                wallClock: { [clock = self.settings.clock] in clock.wallMilliseconds },
                mayRebuild: register.hasLiveMember(besides: self.state.id, at: self.settings.clock.wallMilliseconds),
                epochs: EpochKnowledge(
                    greatest: { trust.epoch },
                    verified: { trust.verified($0) },
                    keep: { try trust.keep($0) }
                ),
                onLocked: { [logger = self.settings.logger] holder in
                    let wasTold = isTold.withLockedValue { isTold in
                        defer { isTold = true }
                        return isTold
                    }
                    if !wasTold { ClinicNode.logLock(by: holder, to: logger) }
                    return !Task.isShuttingDownGracefully && !Task.isCancelled
                }
            )
        )
        if let staleLog = storage.staleLog {
            self.settings.logger.warning(
                "A write-ahead log beside the database did not belong to it and was set aside",
                metadata: ["store.stale_log": "\(staleLog)"]
            )
        }
        if let rebuilt = storage.rebuilt { ClinicNode.log(rebuilt, to: self.settings.logger) }
        if let followed = storage.epoch.followed { ClinicNode.log(followed, to: self.settings.logger) }
        if let rebirth = storage.rebirth {
            self.settings.logger.notice(
                "The database is a copy or came from a backup: the node goes on under new batch numbers",
                metadata: ["store.rebirth": "\(rebirth.rawValue)", "store.origin": "\(storage.origin)"]
            )
        }
        return storage
    }
}

/// The parts of a running node that ``ClinicNode`` uses from outside the run.
struct RunningNode: Sendable {
    let control: NodeControl
    let transport: PeerTransport
    let storage: StorageService
    let inbox: Inbox

    /// Aborts all work.
    func kill() {
        self.transport.cut()
        self.storage.abandon()
        self.inbox.finish()
    }
}
