import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

// The conflict journal for people.
extension RunningNodeControl {
    func conflicts(_ filter: ConflictFilter) async throws -> ConflictsSummary {
        let running = try self.current()
        let names = try await self.names(running)
        let (entries, open) = try await StorageErrors.mapping {
            try await running.storage.read { reader in
                (try reader.journal(openOnly: filter == .open), try reader.summary().openConflicts)
            }
        }
        return ConflictsSummary(
            conflicts: entries.map { RunningNodeControl.describe($0, names: names).listed },
            open: open
        )
    }

    func conflict(_ id: String) async throws -> ConflictSummary {
        let running = try self.current()
        let number = try RunningNodeControl.number(id)
        let entry = try await StorageErrors.mapping { try await running.storage.read { try $0.journalEntry(number) } }
        guard let entry else { throw RunningNodeControl.unknown(id) }
        return RunningNodeControl.describe(entry, names: try await self.names(running))
    }

    func resolve(conflict id: String, _ decision: ConflictDecision) async throws -> ConflictSummary {
        let running = try self.current()
        let number = try RunningNodeControl.number(id)
        let resolution = try await StorageErrors.mapping {
            try await running.storage.write { writer in
                guard let expected = decision.expected else {
                    return try writer.resolveJournal(number, keeping: decision.keep.journal)
                }
                return try writer.resolveJournal(number, keeping: decision.keep.journal) {
                    RunningNodeControl.isSame($0, expected)
                }
            }
        }
        switch resolution {
        case .resolved(let hasChanged):
            if hasChanged { running.inbox.post(.localCommitNoticed) }
            return try await self.conflict(id)
        case .unknown:
            throw RunningNodeControl.unknown(id)
        case .alreadyResolved:
            throw ClinicSyncError(.refused, "Somebody has dealt with this conflict already: list the conflicts again.")
        case .rowGone:
            throw ClinicSyncError(
                .refused,
                "The entry this conflict is about was deleted: enter it anew if it is needed, and keep \"current\" here."
            )
        case .changedSince:
            throw ClinicSyncError(
                .refused,
                "The value was changed since it was shown: look at the conflict again, then decide."
            )
        case .refused(let reason):
            throw ClinicSyncError(
                .refused,
                "The table refuses the other value (\(reason)): correct the row in the program, then keep \"current\" here."
            )
        }
    }

    private func names(_ running: Running) async throws -> [NodeID: String] {
        var names = Dictionary(
            try await self.memberRows(running).map { ($0.id, $0.name) },
            uniquingKeysWith: { first, _ in first }
        )
        names[self.nodeID] = self.nodeName
        return names
    }

    private static func number(_ id: String) throws -> Int64 {
        guard let number = Int64(id), String(number) == id else { throw self.unknown(id) }
        return number
    }

    private static func unknown(_ id: String) -> ClinicSyncError {
        ClinicSyncError(.notFound, "There is no conflict with this id: clinic-node conflicts lists all.")
    }

    private static func describe(_ entry: JournalEntry, names: [NodeID: String]) -> ConflictSummary {
        func side(_ written: JournalEntry.Written) -> ConflictSummary.Side {
            ConflictSummary.Side(
                value: self.value(written.value),
                origin: written.node.description,
                originName: names[written.node] ?? "",
                timestamp: UTCTimestamp(milliseconds: written.timestamp.milliseconds)
            )
        }
        return ConflictSummary(
            id: String(entry.id),
            table: entry.table,
            recordId: entry.recordID,
            column: entry.column,
            current: entry.current.map(side),
            other: side(entry.other),
            recordedAt: UTCTimestamp(milliseconds: entry.recordedAt),
            resolvedAt: entry.resolvedAt.map(UTCTimestamp.init(milliseconds:)),
            kept: entry.kept?.rawValue
        )
    }

    private static func value(_ value: SQLiteValue) -> ConflictValue {
        switch value {
        case .null: .null
        case .integer(let number): .integer(number)
        case .real(let bits): .number(Double(bitPattern: bits))
        case .text, .blob: .text(value.displayText)
        }
    }

    /// Whether a program that read `expected` from JSON saw `value`; 5 and 5.0 are one in JSON.
    private static func isSame(_ value: SQLiteValue, _ expected: ConflictValue) -> Bool {
        let shown = self.value(value)
        if case .number(let number) = shown, case .integer(let other) = expected { return number == Double(other) }
        return shown == expected
    }
}

extension ConflictChoice {
    /// The store's word for it.
    fileprivate var journal: JournalChoice { self == .current ? .current : .other }
}

// What the dashboard and Prometheus want to know beside the status.
extension RunningNodeControl {
    func latency() async throws -> LatencySummary { self.latencies.summary }

    func metrics() async throws -> NodeMetrics {
        NodeMetrics(status: try await self.status(), eventPosition: self.eventPosition)
    }

    /// Takes a sample every ten seconds until it is cancelled.
    func recordLatencies() async throws {
        while true {
            if let core = self.runningStatus {
                let peers = core.peers.filter(\.isConnected)
                let measured =
                    core.host.flatMap { host in peers.first { $0.id == host.id } }
                    .map { $0.roundTripMilliseconds } ?? peers.compactMap(\.roundTripMilliseconds).max()
                self.latencies.add(
                    LatencySummary.Sample(
                        at: UTCTimestamp(milliseconds: self.wallMilliseconds),
                        milliseconds: measured.map { ($0 * 1_000).rounded() / 1_000 }
                    )
                )
            }
            try await Task.sleep(for: LatencyLog.interval)
        }
    }
}
