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
        let lookup = try await StorageErrors.mapping { try await running.storage.read { try $0.journalEntry(id) } }
        switch lookup {
        case .found(let entry): return RunningNodeControl.describe(entry, names: try await self.names(running))
        case .unknown: throw RunningNodeControl.unknown(id)
        case .ambiguous: throw RunningNodeControl.ambiguous
        }
    }

    func resolve(conflict id: String, _ decision: ConflictDecision) async throws -> ConflictSummary {
        let running = try self.current()
        let resolution = try await StorageErrors.mapping {
            try await running.storage.write { writer in
                guard let expected = decision.expected else {
                    return try writer.resolveJournal(id, keeping: decision.keep.journal)
                }
                return try writer.resolveJournal(id, keeping: decision.keep.journal) {
                    RunningNodeControl.isSame($0, expected)
                }
            }
        }
        switch resolution {
        case .resolved:
            // The decision itself is a row that the others get.
            running.inbox.post(.localCommitNoticed)
            return try await self.conflict(id)
        case .unknown: throw RunningNodeControl.unknown(id)
        case .ambiguous: throw RunningNodeControl.ambiguous
        case .impossible(let entry):
            let takeBack = RunningNodeControl.describe(entry, names: try await self.names(running)).takeBack
            let advice = takeBack.prefix(1).lowercased() + takeBack.dropFirst()
            throw ClinicSyncError(.refused, "No command takes this back: \(advice)")
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
                "The table refuses it (\(reason)): correct the row in the program, then keep \"current\" here."
            )
        }
    }

    /// The names of the clinic's PCs for people.
    private func names(_ running: Running) async throws -> [NodeID: String] {
        var names = Dictionary(
            try await self.memberRows(running).map { ($0.id, $0.name) },
            uniquingKeysWith: { first, _ in first }
        )
        names[self.nodeID] = self.nodeName
        return names
    }

    private static func unknown(_ id: String) -> ClinicSyncError {
        ClinicSyncError(
            .notFound,
            "There is no conflict with this id: give six characters of it at least; clinic-node conflicts lists all."
        )
    }

    private static let ambiguous = ClinicSyncError(
        .usage,
        "Several conflicts have ids that begin like this: give more characters; clinic-node conflicts lists all."
    )

    private static func describe(_ entry: JournalEntry, names: [NodeID: String]) -> ConflictSummary {
        func side(_ written: JournalEntry.Written) -> ConflictSummary.Side {
            ConflictSummary.Side(
                value: self.value(written.value),
                origin: written.node.description,
                originName: self.name(written.node, names),
                timestamp: UTCTimestamp(milliseconds: written.timestamp.milliseconds)
            )
        }
        func row(_ row: JournalEntry.Row) -> ConflictSummary.Row {
            ConflictSummary.Row(table: row.table, recordId: row.key.displayText)
        }
        let facts = ConflictSummary.Facts(
            id: entry.id,
            kind: entry.kind,
            row: row(entry.row),
            isShown: entry.row.isShown,
            column: entry.column,
            current: entry.current.map(side),
            other: side(entry.other),
            related: entry.related.map(row)
        )
        let decision = entry.decision.map { decision in
            ConflictSummary.Decision(
                at: UTCTimestamp(milliseconds: decision.at),
                by: decision.node.map { names[$0] ?? $0.description },
                kept: decision.kept.rawValue
            )
        }
        return ConflictSummary(facts, decision: decision)
    }

    /// A PC's name; the rows that every PC begins with were written by none.
    private static func name(_ node: NodeID, _ names: [NodeID: String]) -> String {
        node == Origin.genesis.node ? "The installation" : names[node] ?? ""
    }

    // MARK: - Who wrote what

    func why(_ path: String) async throws -> WhySummary {
        let running = try self.current()
        let report: RowReport
        do {
            report = try await StorageErrors.mapping { try await running.storage.read { try $0.report(path) } }
        } catch is MalformedPath {
            throw ClinicSyncError(
                .usage,
                "Name a row as TABLE/ID or a field as TABLE/ID/FIELD, for example patients/p1."
            )
        }
        let names = try await self.names(running)
        func author(_ version: Version) -> WhySummary.Author {
            WhySummary.Author(
                origin: version.origin.node.description,
                originName: RunningNodeControl.name(version.origin.node, names),
                timestamp: UTCTimestamp(milliseconds: version.timestamp.milliseconds),
                number: version.sequence
            )
        }
        return WhySummary(
            table: report.table,
            recordId: report.key.displayText,
            state: report.state.rawValue,
            deleted: report.deletion.map(author),
            columns: report.columns.map { column in
                WhySummary.Column(
                    column: column.name,
                    value: RunningNodeControl.value(column.value),
                    author: column.version.map(author),
                    beat: column.beaten.map { RunningNodeControl.describe($0, names: names) }
                )
            },
            conflicts: report.conflicts.map { RunningNodeControl.describe($0, names: names) }
        )
    }

    // MARK: - Values

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
