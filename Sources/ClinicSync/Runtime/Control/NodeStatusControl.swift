import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// Reports the status of a running node.
struct NodeStatusControl: StatusControl {
    let state: NodeState
    let storage: StorageService
    let register: MemberRegister
    let security: SecurityReport
    let events: EventBroadcaster
    let latencies: LatencyLog
    /// The node's metrics.
    let values: NodeMetrics
    let epochs: EpochWatch
    let inbox: Inbox
    let members: ClinicMembers
    let verdicts: VerdictLog
    /// When the run began, by a monotonic clock.
    let startedAt: Duration

    func status() async throws -> NodeStatus {
        let (digests, summary) = try await StorageErrors.mapping {
            try await self.storage.read { reader in (try reader.clinicDigests(), try reader.summary()) }
        }
        let core = await self.inbox.status()
        var verdict: VerdictSummary?
        if let core { verdict = try await self.verdict(core) }
        // The list of members contains names that were assigned after a peer announced its own name.
        let names = MemberList(state: self.state, register: self.register).names
        let identity = self.state.identity
        let uptime = self.state.clock.now.monotonic - self.startedAt
        let noted =
            NodeStatusControl.noted(failedTriggers: core?.failedTriggers ?? 0, staleLog: self.storage.staleLog)
            + EpochFindings(followed: self.storage.epoch.followed, report: self.epochs.report, names: names).findings
        var status = NodeStatus(
            node: NodeStatus.Node(
                id: identity.nodeID.description,
                name: self.state.name,
                version: SoftwareVersion.current,
                schemaVersion: Int(self.storage.initialState.schemaVersion),
                uptimeSeconds: Int(uptime.components.seconds)
            ),
            clinic: NodeStatus.Clinic(id: identity.clinicID, name: identity.clinicName),
            role: (core?.role ?? self.state.standing?.role).map(NodeStatus.Role.init) ?? .searching,
            term: Int(clamping: core?.term ?? 0),
            host: core?.host.map {
                NodeStatus.Host(
                    id: $0.id.description,
                    name: $0.id == self.state.id ? self.state.name : names[$0.id] ?? $0.name ?? "",
                    address: $0.address ?? ""
                )
            },
            activeConnections: core?.peers.count { $0.isConnected } ?? 0,
            security: try self.security.facts(),
            pendingChanges: Int(clamping: core?.pendingChanges ?? 0),
            clockOffsetMilliseconds: Int(clamping: core?.clockOffsetMilliseconds ?? 0),
            lastReconciliation: core?.lastReconciliation.map(NodeStatus.Reconciliation.init),
            conflicts: NodeStatus.Conflicts(open: summary.openConflicts),
            tables: digests.map(DigestSummary.Table.init),
            peers: core.map { NodeStatus.Peer.all(of: $0, names: names) } ?? [],
            waiting: summary.waiting.map {
                NodeStatus.Waiting(table: $0.table, rows: $0.rows, reason: $0.reason)
            },
            progress: core.flatMap { NodeStatus.Progress($0, names: names) },
            duplicateIdentities: core?.duplicates.map(\.description) ?? [],
            lapsedNodes: Set(self.register.known.present).intersection(summary.lapsed).sorted().map(\.description),
            damage: core?.damage.map(NodeStatus.Damage.init) ?? [],
            lockedFiles: core.map {
                NodeStatus.LockedFile.all(of: $0, own: self.state.id, name: self.state.name, names: names)
            } ?? [],
            diskFaults: core?.diskFaults.map(DiskFaultSummary.init) ?? [],
            warnings: noted.map { "\($0.finding) \($0.remedy)" },
            dials: core?.dials.map(DialSummary.init) ?? [],
            verdict: verdict
        )
        status.findings = self.findings(of: status, noted)
        return status
    }

    /// Everything that is not well.
    private func findings(of status: NodeStatus, _ noted: [Finding]) -> [Finding] {
        let now = self.state.clock.wallMilliseconds
        let present = self.register.known.present
        let members = MemberList(state: self.state, register: self.register).rows.compactMap { row in
            row.id == self.state.id || !present.contains(row.id)
                ? nil
                : MemberFindings.Member(id: row.id.description, name: row.name, version: row.softwareVersion)
        }
        let ofMembers = MemberFindings(
            status: status,
            members: members,
            discoveryFault: self.state.discoveryFault,
            now: now
        )
        let ofPC = PCFacts.read(of: self.security.directory).findings(at: now)
        let ofTriggers = NodeStatusControl.triggers(self.state.captureRepairs, at: now)
        return StatusFindings(status: status, now: now, others: noted + ofMembers.all + ofPC + ofTriggers).all
    }

    /// The tables whose triggers were missing during the last day.
    static func triggers(_ repairs: [String: Int64], at now: Int64) -> [Finding] {
        repairs.filter { now - $0.value < 86_400_000 }.sorted { $0.key < $1.key }.map { table, at in
            Finding(
                .triggersMissing,
                "The node's triggers on \(table) were missing, and are back.",
                subject: table,
                since: UTCTimestamp(milliseconds: at)
            )
        }
    }

    /// What happened at the opening and what programs' triggers did, which the status has no other key for.
    ///
    /// - Parameters:
    ///   - failedTriggers: the rows for which a program's trigger failed.
    ///   - staleLog: where a write-ahead log is that did not belong to the file; `nil` when there was none.
    /// - Returns: One finding for each; none when all is well.
    static func noted(failedTriggers: Int, staleLog: String?) -> [Finding] {
        var findings: [Finding] = []
        if failedTriggers > 0 {
            findings.append(
                Finding(
                    .triggerFailed,
                    "A program's trigger failed for \(failedTriggers) row\(failedTriggers == 1 ? "" : "s") of other PCs, "
                        + "which are there."
                )
            )
        }
        if let staleLog {
            findings.append(
                Finding(
                    .logSetAside,
                    "A write-ahead log beside clinic.db did not belong to it and is now \(staleLog).",
                    subject: staleLog
                )
            )
        }
        return findings
    }

    /// Whether the node does its work; a node whose status cannot be read says why.
    func health() async -> HealthSummary {
        do {
            return HealthSummary(try await self.status().findings)
        } catch {
            let reason = (error as? ClinicSyncError)?.message ?? "The status cannot be read."
            return HealthSummary([Finding(.storeUnreadable, reason)])
        }
    }

    func latency() async throws -> LatencyHistory { self.latencies.history }

    func metrics() async throws -> String {
        self.values.record(try await self.status(), eventPosition: self.events.lastPosition)
        return self.values.text
    }

    /// Updates the gauges every ten seconds until cancelled, for a backend that does not request values.
    func forwardGauges() async throws {
        while self.values.isForwarded {
            try await Task.sleep(for: LatencyLog.interval)
            do {
                self.values.record(try await self.status(), eventPosition: self.events.lastPosition)
            } catch {
                // The store cannot answer now, so the gauges keep their values.
            }
        }
    }
}

extension NodeStatus.Progress {
    /// Makes the progress from the core's status; `nil` when the node waits for nothing.
    init?(_ core: CoreStatus, names: [NodeID: String]) {
        guard core.missingBatches > 0 || core.partialBatches > 0 || core.stateTransfer != nil else { return nil }
        self.init(
            missingBatches: Int(clamping: core.missingBatches),
            partialBatches: core.partialBatches,
            state: core.stateTransfer.map { StateTransferSummary($0, names: names) }
        )
    }
}

extension StateTransferSummary {
    /// Describes a state that this node gets.
    init(_ transfer: CoreStatus.StateTransfer, names: [NodeID: String]) {
        self.init(
            from: transfer.from.map { names[$0] ?? $0.description },
            rows: Int(clamping: transfer.rows),
            rowsTotal: Int(clamping: transfer.rowsTotal),
            bytes: Int(clamping: transfer.bytes),
            bytesPerSecond: Int(clamping: transfer.bytesPerSecond),
            secondsLeft: transfer.timeLeft.map { Int(clamping: ($0 + .milliseconds(999)).components.seconds) },
            complete: transfer.isWhole,
            failure: transfer.failure.map { failure in
                Failure(
                    failures: failure.count,
                    message: failure.reason,
                    retrySeconds: Int(clamping: (failure.retryIn + .milliseconds(999)).components.seconds)
                )
            }
        )
    }
}

extension NodeStatus.Damage {
    /// Describes damage.
    fileprivate init(_ damage: CoreStatus.Damage) {
        self.init(
            table: damage.repair.table == .file ? "clinic.db" : "clinicsync_\(damage.repair.table.rawValue)",
            entries: damage.repair.count,
            outcome: damage.repair.outcome.rawValue,
            reason: damage.repair.reason,
            at: UTCTimestamp(milliseconds: damage.wallMilliseconds)
        )
    }
}

extension DiskFaultSummary {
    /// Describes a fault.
    fileprivate init(_ fault: CoreStatus.DiskFault) {
        self.init(
            fault: fault.kind.rawValue,
            since: UTCTimestamp(milliseconds: fault.sinceMilliseconds),
            message: fault.reason
        )
    }
}

extension NodeStatus.LockedFile {
    /// Describes the PCs whose file is locked: this one, then the others.
    fileprivate static func all(
        of core: CoreStatus,
        own: NodeID,
        name: String,
        names: [NodeID: String]
    ) -> [NodeStatus.LockedFile] {
        let here = core.storeLock.map { lock in
            NodeStatus.LockedFile(
                node: own.description,
                name: name,
                since: UTCTimestamp(milliseconds: lock.sinceMilliseconds),
                process: lock.holder.map { Process(id: $0.process, program: $0.program) }
            )
        }
        let others = core.lockedPeers.map { peer in
            NodeStatus.LockedFile(
                node: peer.node.description,
                name: names[peer.node] ?? "",
                since: UTCTimestamp(milliseconds: peer.since),
                process: nil
            )
        }
        return (here.map { [$0] } ?? []) + others
    }
}

extension NodeStatus.Role {
    /// Makes the role from the core's role.
    fileprivate init(_ role: CoreStatus.Role) {
        switch role {
        case .host: self = .host
        case .client: self = .client
        case .searching: self = .searching
        case .stopped: self = .stopped
        }
    }
}

extension NodeStatus.Reconciliation {
    /// Describes the newest reconciliation.
    fileprivate init(_ last: CoreStatus.Reconciliation) {
        self.init(
            at: UTCTimestamp(milliseconds: last.wallMilliseconds),
            result: last.result.name,
            milliseconds: Int(clamping: last.took.wholeMilliseconds),
            repairedRows: Int(clamping: last.repairedRows)
        )
    }
}

extension NodeStatus.Peer {
    /// Describes the peers, then those that were refused before they said who they are.
    fileprivate static func all(of core: CoreStatus, names: [NodeID: String]) -> [NodeStatus.Peer] {
        let backOffs = Dictionary(core.backOffs.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let known = core.peers.map { NodeStatus.Peer($0, name: names[$0.id], backOff: backOffs[$0.id]) }
        let ids = Set(core.peers.map(\.id))
        return known
            + core.backOffs.filter { !ids.contains($0.id) }.map { backOff in
                NodeStatus.Peer(
                    id: backOff.id.description,
                    name: names[backOff.id] ?? "",
                    address: "",
                    role: CoreStatus.Role.stopped.rawValue,
                    connected: false,
                    lagBatches: 0,
                    lastSeen: nil,
                    roundTripMilliseconds: nil,
                    backOff: NodeStatus.BackOff(backOff)
                )
            }
    }

    /// Describes a peer; `name` is its name in the list of members.
    fileprivate init(_ peer: CoreStatus.Peer, name: String?, backOff: CoreStatus.BackOff?) {
        self.init(
            id: peer.id.description,
            name: name ?? peer.name,
            address: peer.address,
            role: peer.role.rawValue,
            connected: peer.isConnected,
            lagBatches: Int(clamping: peer.lagBatches),
            lastSeen: UTCTimestamp(milliseconds: peer.lastSeen.wallMilliseconds),
            roundTripMilliseconds: peer.roundTripMilliseconds,
            backOff: backOff.map(NodeStatus.BackOff.init),
            joining: peer.isJoining
        )
    }
}

extension DialSummary {
    /// Describes what came of dialling an address.
    fileprivate init(_ dial: CoreStatus.Dial) {
        self.init(
            address: dial.address,
            node: dial.node?.description,
            answer: dial.answer.name,
            message: dial.answer.words,
            at: UTCTimestamp(milliseconds: dial.atMilliseconds),
            since: UTCTimestamp(milliseconds: dial.sinceMilliseconds),
            tries: dial.tries
        )
    }
}

extension NodeStatus.BackOff {
    /// Describes why a peer waits.
    fileprivate init(_ backOff: CoreStatus.BackOff) {
        self.init(
            reason: "\(backOff.reason)",
            message: BackOffAdvice(backOff.reason, isPeersWord: backOff.isPeersWord).message,
            by: backOff.isPeersWord ? "peer" : "self",
            failures: backOff.failures,
            lastedSeconds: Int(clamping: backOff.lasted.components.seconds),
            retrySeconds: Int(clamping: (backOff.retryIn + .milliseconds(999)).components.seconds)
        )
    }
}
