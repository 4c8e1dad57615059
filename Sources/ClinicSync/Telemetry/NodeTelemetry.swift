import ClinicSyncCore
import ClinicSyncModel
import Logging
import NIOConcurrencyHelpers

/// Renders the core's notifications as log lines, system events and metrics.
///
/// Messages are static; data goes into metadata with dotted keys. This is the only type that produces all three. It
/// never receives a row's content.
struct NodeTelemetry: Sendable {
    private let logger: Logger
    private let metrics: NodeMetrics
    private let wallMilliseconds: @Sendable () -> Int64
    private let onEvent: @Sendable (NamedEvent) -> Void
    /// What one peer can bring about again and again.
    private let repetitions = NIOLockedValueBox(LineLimiter(burst: 10))
    /// What the node itself tries again and again.
    private let failures = NIOLockedValueBox(LineLimiter(burst: 1))
    private let start = ContinuousClock.now

    /// Logs to `logger` and counts in `metrics`; `onEvent` receives the system events.
    init(
        logger: Logger,
        metrics: NodeMetrics,
        wallMilliseconds: @escaping @Sendable () -> Int64,
        onEvent: @escaping @Sendable (NamedEvent) -> Void
    ) {
        self.logger = logger
        self.metrics = metrics
        self.wallMilliseconds = wallMilliseconds
        self.onEvent = onEvent
    }

    /// Records a notification.
    func record(_ notification: Notification) {
        switch notification {
        case .peerConnected(let peer, let name, let isHost):
            self.log(.notice, "Peer connected", of: "\(peer)", ["peer.id": "\(peer)", "peer.host": "\(isHost)"])
            self.tell("peer_connected", details: ["peer": peer.description, "name": name])
        case .peerLost(let peer, let reason):
            self.metrics.count(.peersLost)
            self.log(.notice, "Peer lost", of: "\(peer)", ["peer.id": "\(peer)", "close.reason": "\(reason)"])
            self.tell("peer_lost", details: ["peer": peer.description, "reason": "\(reason)"])
        case .hostChanged(let host, let name, let term):
            self.metrics.count(.hostChanges)
            self.recordHost(host, name, term)
        case .splitHealed(let other):
            self.logger.notice("Two hosts met and are one again", metadata: ["peer.id": "\(other)"])
            self.tell("split_healed", details: ["peer": other.description])
        case .peerBacksOff(let peer, let reason, let isPeersWord):
            self.recordBackOff(of: peer, reason, isPeersWord: isPeersWord)
        case .connectionRefused(let reason):
            self.log(.warning, "Connection refused", of: "\(reason)", ["close.reason": "\(reason)"])
        case .dialFailed(let address, let failure, let nextTry):
            self.recordDial(of: address, failure, nextTry)
        case .reconciled(let result, let rows, let took):
            self.recordReconciliation(result, rows, took)
        case .conflictsRecorded(let count):
            self.metrics.count(.conflicts, count)
            self.logger.notice("Conflicting edits recorded in the journal", metadata: ["conflict.count": "\(count)"])
        case .captureRepaired(let tables):
            self.logger.warning("Capture triggers were missing and are back", metadata: ["tables": "\(tables)"])
            self.tell("capture_repaired", details: ["tables": tables.joined(separator: ",")])
        case .tableNoticed(let notice):
            self.record(notice)
        case .escapedWrites(let rows):
            self.logger.warning(
                "Rows were written without a mark and are captured now",
                metadata: ["change.count": "\(rows)"]
            )
            self.tell("escaped_write", details: ["rows": "\(rows)"])
        case .unmarkedSetBack(let rows):
            self.logger.warning(
                "Rows changed without a mark and look damaged: the other nodes' values count, the journal keeps these",
                metadata: ["change.count": "\(rows)"]
            )
            self.tell("rows_set_back", details: ["rows": "\(rows)"])
        case .triggersFailed(let rows):
            self.logger.warning(
                "A program's trigger failed for rows of other nodes: they are written without it",
                metadata: ["change.count": "\(rows)"]
            )
            self.metrics.count(.failedTriggers, rows)
            self.tell("trigger_failed", details: ["rows": "\(rows)"])
        case .clockSkew(let milliseconds):
            self.logger.warning("A peer's clock is wrong", metadata: ["clock.skew": "\(milliseconds)"])
            self.tell("clock_skew", details: ["milliseconds": "\(milliseconds)"])
        case .storageFailed(let failure):
            self.metrics.count(.storageFailures)
            self.record(failure)
        case .duplicateIdentity(let node, let isSelf):
            self.recordDuplicate(of: node, isSelf: isSelf)
        case .logTooShort(let peer):
            self.log(.warning, "A peer needs more than the log holds", of: "\(peer)", ["peer.id": "\(peer)"])
            self.tell("log_too_short", details: ["peer": peer.description])
        case .ownDamage(let repair): self.record(repair)
        case .storeLocked(let lock): self.record(lock)
        case .diskFault(let fault, let reason): self.record(fault, reason)
        case .diskRecovered(let fault, let time): self.recordEnd(of: fault, after: time)
        case .storeUnlocked(let time):
            self.logger.notice("This node writes clinic.db again", metadata: ["lock.waited": "\(time)"])
        }
    }

    private func record(_ fault: DiskFault, _ reason: String) {
        self.logger.error(
            fault == .slow
                ? "The disk is slow" : "The disk refuses what this node needs, so it is not host until the disk works",
            metadata: ["disk.fault": "\(fault.rawValue)", "error.message": "\(reason)"]
        )
        // On a disk that takes no writes, programs get the event when the disk works again.
        self.tell("disk_fault", details: ["fault": fault.rawValue])
    }

    private func recordEnd(of fault: DiskFault, after time: Duration) {
        self.logger.notice(
            "The disk works again",
            metadata: ["disk.fault": "\(fault.rawValue)", "disk.lasted": "\(time)"]
        )
        self.tell("disk_recovered", details: ["fault": fault.rawValue, "seconds": "\(time.components.seconds)"])
    }

    private func record(_ lock: StoreLock) {
        self.metrics.count(.storeLocks)
        self.logger.warning(
            "A program keeps a write transaction in clinic.db open, so this node cannot write: end it in that program",
            metadata: [
                "lock.process": "\(lock.holder.map { String($0.process) } ?? "unknown")",
                "lock.program": "\(lock.holder?.program ?? "unknown")", "lock.waited": "\(lock.waited)",
            ]
        )
        // The store writes the event down when it writes again, so programs get it then.
        var details: [String: String] = [:]
        details["process"] = lock.holder.map { String($0.process) }
        details["program"] = lock.holder?.program
        self.tell("store_locked", details: details)
    }

    private func recordDial(of address: String, _ failure: DialFailure, _ nextTry: Duration) {
        let metadata: Logger.Metadata = [
            "peer.address": "\(address)", "dial.failure": "\(failure.rawValue)", "dial.next": "\(nextTry)",
        ]
        self.log(.info, "Host is not reachable", of: address, metadata)
    }

    private func recordReconciliation(_ result: ReconciliationResult, _ rows: UInt64, _ took: Duration) {
        self.metrics.observe(.reconciliationDuration, took)
        self.metrics.count(.repairedRows, Int(clamping: rows))
        self.logger.info(
            "Reconciliation ended",
            metadata: [
                "reconciliation.result": "\(result)", "reconciliation.rows": "\(rows)",
                "reconciliation.duration": "\(took)",
            ]
        )
    }

    private func record(_ notice: TableNotice) {
        switch notice {
        case .missing(let table, let reason):
            self.logger.warning(
                "A table of the clinic is missing; the other tables go on",
                metadata: ["table": "\(table)", "table.reason": "\(reason)"]
            )
            self.tell("table_missing", details: ["table": table, "reason": reason])
        case .returned(let table):
            self.logger.notice("A table of the clinic is back", metadata: ["table": "\(table)"])
            self.tell("table_returned", details: ["table": table])
        case .columnWaits(let table, let column, let reason):
            self.logger.notice(
                "A column that programs added is not in the files of all PCs",
                metadata: ["table": "\(table)", "column": "\(column)", "column.reason": "\(reason)"]
            )
            self.tell("column_waits", details: ["table": table, "column": column, "reason": reason])
        }
    }

    private func record(_ repair: DamageRepair) {
        self.metrics.count(.ownDamage, repair.count)
        self.logger.warning(
            "This node's own bookkeeping was damaged",
            metadata: [
                "damage.table": "clinicsync_\(repair.table.rawValue)", "damage.reason": "\(repair.reason)",
                "damage.count": "\(repair.count)", "damage.outcome": "\(repair.outcome.rawValue)",
            ]
        )
        self.tell(
            "own_damage",
            details: [
                "table": "clinicsync_\(repair.table.rawValue)", "count": "\(repair.count)",
                "outcome": repair.outcome.rawValue,
            ]
        )
    }

    /// Logs a line that a peer can bring about again and again, unless there were many of its kind about `subject`.
    @discardableResult
    private func log(
        _ level: Logger.Level,
        _ message: String,
        of subject: String,
        _ metadata: Logger.Metadata
    ) -> Bool {
        let elapsed = self.start.duration(to: .now)
        guard let omitted = self.repetitions.withLockedValue({ $0.admit(message + subject, at: elapsed) }) else {
            return false
        }
        var metadata = metadata
        if omitted > 0 { metadata["log.omitted"] = "\(omitted)" }
        self.logger.log(level: level, "\(message)", metadata: metadata)
        return true
    }

    /// Logs a failure that is tried again, once a minute at most, with the number of lines that were left out.
    private func logOnce(
        _ level: Logger.Level,
        _ message: String,
        of subject: String,
        _ metadata: Logger.Metadata
    ) {
        let elapsed = self.start.duration(to: .now)
        guard let omitted = self.failures.withLockedValue({ $0.admit(message + subject, at: elapsed) }) else { return }
        var metadata = metadata
        if omitted > 0 { metadata["log.omitted"] = "\(omitted)" }
        self.logger.log(level: level, "\(message)", metadata: metadata)
    }

    private func tell(_ type: String, details: [String: String]) {
        self.onEvent(
            NamedEvent(
                type: type,
                category: .system,
                timestamp: HybridTimestamp(milliseconds: self.wallMilliseconds()),
                fields: ["details": .object(details.mapValues(EventValue.text))]
            )
        )
    }

    private func recordBackOff(of peer: NodeID, _ reason: CloseReason, isPeersWord: Bool) {
        let isWritten = self.log(
            .warning,
            isPeersWord
                ? "A peer ends all connections with this node, which tries again less and less often"
                : "All connections with a peer must be ended, so the peer may connect less and less often",
            of: "\(peer)",
            ["peer.id": "\(peer)", "close.reason": "\(reason)"]
        )
        // A peer that gives a new reason each time must not fill the log of events.
        guard isWritten else { return }
        self.tell(
            "peer_backs_off",
            details: ["peer": peer.description, "reason": "\(reason)", "by": isPeersWord ? "peer" : "self"]
        )
    }

    private func recordDuplicate(of node: NodeID, isSelf: Bool) {
        self.logger.error(
            "Two PCs run with one node's key: stop one of them and let it join again",
            metadata: ["peer.id": "\(node)", "peer.self": "\(isSelf)"]
        )
        self.tell("duplicate_identity", details: ["peer": node.description, "self": isSelf ? "true" : "false"])
    }

    private func recordHost(_ host: NodeID?, _ name: String?, _ term: UInt64) {
        let id = host?.description ?? "none"
        self.log(.notice, "The host has changed", of: id, ["host.id": "\(id)", "host.term": "\(term)"])
        var details = ["term": "\(term)"]
        details["host"] = host?.description
        details["name"] = name
        self.tell("host_changed", details: details)
    }

    private func record(_ failure: StorageFailure) {
        switch failure {
        case .unavailable(let reason):
            self.logOnce(.error, "The store failed, trying again", of: reason, ["error.message": "\(reason)"])
        case .disk(let fault, let reason):
            // The fault itself is one line when it begins and one when it ends.
            self.logger.debug(
                "The disk refused, trying again",
                metadata: ["disk.fault": "\(fault.rawValue)", "error.message": "\(reason)"]
            )
        case .malformed(let reason):
            self.log(.warning, "A peer sent data that cannot be decoded", of: "", ["error.message": "\(reason)"])
        case .damaged(let damage):
            self.logOnce(
                .error,
                "The store found damage in its own bookkeeping",
                of: "\(damage.table.rawValue) \(damage.reason)",
                ["damage.table": "\(damage.table.rawValue)", "damage.reason": "\(damage.reason)"]
            )
        case .forked(let batch):
            self.logOnce(
                .error,
                "Two different batches have the same origin and number",
                of: "\(batch)",
                ["replication.origin": "\(batch.origin)", "replication.sequence": "\(batch.sequence)"]
            )
        }
    }
}
