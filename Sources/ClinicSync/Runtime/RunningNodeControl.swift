import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import NIOConcurrencyHelpers
import NIOPosix

/// Answers people and programs for a running node.
final class RunningNodeControl: NodeControl {
    /// What there is while the node runs.
    struct Running: Sendable {
        var driver: NodeDriver
        var inbox: Inbox
        var storage: StorageService
        var people: PeopleAgents
        var transport: PeerTransport
        var trust: TrustStore
        var desk: EnrollmentDesk
        var exchange: TrustExchange
        var listen: String
        var startedAt: Duration

        /// Judges passwords.
        var passwords: PasswordService { self.people.passwords }

        /// This PC's time as the clinic keeps it.
        func correctedMilliseconds(_ clock: NodeClock) -> Int64 {
            clock.wallMilliseconds + (self.driver.status?.clockOffsetMilliseconds ?? 0)
        }

        /// Runs what writes files, on a thread that may block.
        func blocking<Result: Sendable>(_ body: @escaping @Sendable (Running) throws -> Result) async throws -> Result {
            try await NIOThreadPool.singleton.runIfActive { try body(self) }
        }
    }

    private let identity: NodeIdentity
    private let broadcaster: EventBroadcaster
    let clock: NodeClock
    private let running = NIOLockedValueBox<Running?>(nil)
    /// Round trips of the last hour.
    let latencies = LatencyLog()
    private let name: NIOLockedValueBox<String>

    init(identity: NodeIdentity, events: EventBroadcaster, clock: NodeClock) {
        self.identity = identity
        self.name = NIOLockedValueBox(identity.nodeName)
        self.broadcaster = events
        self.clock = clock
    }

    /// The node.
    var nodeID: NodeID { self.identity.nodeID }

    /// The node's name for people, as it is now.
    var nodeName: String { self.name.withLockedValue { $0 } }

    /// Takes over a new name.
    func renamed(_ name: String) { self.name.withLockedValue { $0 = name } }

    /// The node's sockets, while it runs.
    var transport: PeerTransport? { self.running.withLockedValue { $0?.transport } }

    /// What the core says of itself, while the node runs.
    var coreStatus: CoreStatus? { self.running.withLockedValue { $0 }?.driver.status }

    /// The host as far as known, else this node; where a new member goes first.
    var hostOrSelf: (id: NodeID, addresses: [String]) {
        let running = self.running.withLockedValue { $0 }
        let own = running.map(RunningNodeControl.addresses) ?? []
        guard let host = running?.driver.status?.host, host.id != self.nodeID, let address = host.address else {
            guard let known = self.identity.host else { return (self.nodeID, own) }
            return (known.nodeID, [known.address])
        }
        return (host.id, [address])
    }

    private static func addresses(_ running: Running) -> [String] {
        do {
            let listen = try NetworkAddress(parsing: running.listen)
            return AdvertisedAddresses.addresses(listening: listen).map(\.description)
        } catch {
            return [running.listen]
        }
    }

    /// From now on the node runs.
    func start(_ running: Running) { self.running.withLockedValue { $0 = running } }

    /// The node runs no more.
    func end() { self.running.withLockedValue { $0 = nil } }

    /// Has what was written by the node's own hand collected at once, while it runs.
    func noticeCommit() { self.running.withLockedValue { $0?.inbox }?.post(.localCommitNoticed) }

    /// Breaks everything off.
    func kill() {
        guard let running = self.running.withLockedValue({ $0 }) else { return }
        running.transport.cut()
        running.storage.abandon()
        running.inbox.finish()
    }

    func current() throws -> Running {
        guard let running = self.running.withLockedValue({ $0 }) else {
            throw ClinicSyncError(.notReachable, "The node is starting or stopping: try again in a moment.")
        }
        return running
    }

    func status() async throws -> NodeStatus {
        let running = try self.current()
        let (digests, summary) = try await StorageErrors.mapping {
            try await running.storage.read { reader in (try reader.clinicDigests(), try reader.summary()) }
        }
        let core = running.driver.status
        // The list of members knows names that were given since a peer said its own.
        let names = Dictionary(
            try await self.memberRows(running).filter { !$0.name.isEmpty }.map { ($0.id, $0.name) },
            uniquingKeysWith: { first, _ in first }
        )
        let schemaVersion = Int(running.storage.initialState.schemaVersion)
        let uptime = self.clock.now.monotonic - running.startedAt
        return NodeStatus(
            node: NodeStatus.Node(
                id: self.identity.nodeID.description,
                name: self.nodeName,
                version: SoftwareVersion.current,
                schemaVersion: schemaVersion,
                uptimeSeconds: Int(uptime.components.seconds)
            ),
            clinic: NodeStatus.Clinic(id: self.identity.clinicID, name: self.identity.clinicName),
            role: core.map { RunningNodeControl.role($0.role) } ?? .searching,
            term: Int(core?.term ?? 0),
            host: core?.host.map {
                NodeStatus.Host(
                    id: $0.id.description,
                    name: $0.id == self.nodeID ? self.nodeName : names[$0.id] ?? $0.name ?? "",
                    address: $0.address ?? ""
                )
            },
            activeConnections: core?.peers.count { $0.isConnected } ?? 0,
            security: NodeStatus.Security(
                certificateExpires: UTCTimestamp(milliseconds: running.trust.certificateExpiresAt),
                maySign: running.trust.maySign,
                refusedConnections: running.transport.refusedConnections,
                revokedNodes: running.trust.knownRevocations.count
            ),
            pendingChanges: Int(core?.pendingChanges ?? 0),
            clockOffsetMilliseconds: Int(core?.clockOffsetMilliseconds ?? 0),
            lastReconciliation: core?.lastReconciliation.map(RunningNodeControl.reconciliation),
            conflicts: NodeStatus.Conflicts(open: summary.openConflicts),
            tables: digests.map(DigestSummary.Table.init),
            peers: core?.peers.map { RunningNodeControl.peer($0, name: names[$0.id]) } ?? [],
            waiting: summary.waiting.map {
                NodeStatus.Waiting(table: $0.table, rows: $0.rows, reason: $0.reason)
            },
            progress: core.flatMap(RunningNodeControl.progress),
            duplicateIdentities: core?.duplicates.map(\.description) ?? []
        )
    }

    private static func progress(_ core: CoreStatus) -> NodeStatus.Progress? {
        guard core.missingBatches > 0 || core.partialBatches > 0 else { return nil }
        return NodeStatus.Progress(
            missingBatches: Int(clamping: core.missingBatches),
            partialBatches: core.partialBatches
        )
    }

    private static func role(_ role: CoreStatus.Role) -> NodeStatus.Role {
        switch role {
        case .host: .host
        case .client: .client
        case .searching: .searching
        case .stopped: .stopped
        }
    }

    private static func reconciliation(_ last: CoreStatus.Reconciliation) -> NodeStatus.Reconciliation {
        NodeStatus.Reconciliation(
            at: UTCTimestamp(milliseconds: last.wallMilliseconds),
            result: last.result.name,
            milliseconds: Int(last.took.wholeMilliseconds),
            repairedRows: Int(last.repairedRows)
        )
    }

    private static func peer(_ peer: CoreStatus.Peer, name: String?) -> NodeStatus.Peer {
        NodeStatus.Peer(
            id: peer.id.description,
            name: name ?? peer.name,
            address: peer.address,
            role: peer.role.rawValue,
            connected: peer.isConnected,
            lagBatches: Int(peer.lagBatches),
            lastSeen: UTCTimestamp(milliseconds: peer.lastSeen.wallMilliseconds),
            roundTripMilliseconds: peer.roundTripMilliseconds
        )
    }

    func digest(table: String?) async throws -> DigestSummary {
        let running = try self.current()
        return DigestSummary(
            try await StorageErrors.mapping {
                try await running.storage.read { try $0.realDigests(table: table) }
            }
        )
    }

    func sync(table: String?, timeout: Duration) async throws -> SyncSummary {
        let running = try self.current()
        if let table {
            let names = try await StorageErrors.mapping {
                try await running.storage.read { $0.clinicTables }
            }
            guard names.contains(table) else { throw ClinicSyncError(.usage, UnknownTable(name: table).description) }
        }
        let started = self.clock.now.monotonic
        let tooLong = ClinicSyncError(
            .timeout,
            "The sync took longer than \(DurationText.format(timeout)): try again with a larger --timeout."
        )
        // Whichever ends first; the core ends every sync within a limit of its own, so the loser does not linger.
        let reply = try await withThrowingTaskGroup(of: CommandReply.self) { tasks in
            tasks.addTask { await running.driver.perform(.sync(table: table)) }
            tasks.addTask {
                try await Task.sleep(for: timeout)
                throw tooLong
            }
            defer { tasks.cancelAll() }
            guard let first = try await tasks.next() else { throw tooLong }
            return first
        }
        guard case .synced(let report) = reply else { throw tooLong }
        return SyncSummary(report, took: self.clock.now.monotonic - started)
    }

    var eventSource: EventBroadcaster { self.broadcaster }

    func events(_ filter: EventFilter) async throws -> EventSubscription { self.broadcaster.subscribe(filter) }

    /// The position of the newest event.
    var eventPosition: UInt64 { self.broadcaster.lastPosition }

    /// What the core said last; `nil` while the node does not run.
    var runningStatus: CoreStatus? { self.running.withLockedValue { $0?.driver.status } }

    /// This PC's time.
    var wallMilliseconds: Int64 { self.clock.wallMilliseconds }
}
