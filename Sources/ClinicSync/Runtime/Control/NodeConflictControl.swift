import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// Shows and settles the conflict journal for people.
struct NodeConflictControl: ConflictControl {
    let storage: StorageService
    let members: MemberList
    /// Called after rows were written, so that the collector makes a batch of these rows.
    let wrote: @Sendable () -> Void

    func conflicts(_ filter: ConflictFilter) async throws -> ConflictsSummary {
        let names = self.members.names
        let (entries, open) = try await StorageErrors.mapping {
            try await self.storage.read { reader in
                (try reader.journal(openOnly: filter == .open), try reader.summary().openConflicts)
            }
        }
        return ConflictsSummary(
            conflicts: entries.map { NodeConflictControl.describe($0, names: names).listed },
            open: open
        )
    }

    func conflict(_ id: String) async throws -> ConflictSummary {
        let lookup = try await StorageErrors.mapping { try await self.storage.read { try $0.journalEntry(id) } }
        switch lookup {
        case .found(let entry): return NodeConflictControl.describe(entry, names: self.members.names)
        case .unknown: throw NodeConflictControl.unknown(id)
        case .ambiguous: throw NodeConflictControl.ambiguous
        }
    }

    func resolve(conflict id: String, _ decision: ConflictDecision) async throws -> ConflictSummary {
        let resolution = try await StorageErrors.mapping {
            try await self.storage.writeForPeople { writer in
                guard let expected = decision.expected else {
                    return try writer.resolveJournal(id, keeping: decision.keep.journal)
                }
                return try writer.resolveJournal(id, keeping: decision.keep.journal) {
                    NodeConflictControl.isSame($0, expected)
                }
            }
        }
        if let failure = self.failure(resolution, id) { throw failure }
        // The decision is also a row, which other nodes receive.
        self.wrote()
        return try await self.conflict(id)
    }

    /// Why an entry was not settled, and what to do; `nil` when it was.
    private func failure(_ resolution: JournalResolution, _ id: String) -> ClinicSyncError? {
        switch resolution {
        case .resolved: return nil
        case .unknown: return NodeConflictControl.unknown(id)
        case .ambiguous: return NodeConflictControl.ambiguous
        case .impossible(let entry):
            let takeBack = NodeConflictControl.describe(entry, names: self.members.names).takeBack
            let advice = takeBack.prefix(1).lowercased() + takeBack.dropFirst()
            return ClinicSyncError(.refused, "No command takes this back: \(advice)")
        case .alreadyResolved:
            return ClinicSyncError(
                .refused,
                "Somebody has dealt with this conflict already: list the conflicts again."
            )
        case .rowGone:
            return ClinicSyncError(
                .refused,
                "The entry this conflict is about was deleted: enter it again if it is needed, and keep \"current\" here."
            )
        case .changedSince:
            return ClinicSyncError(
                .refused,
                "The value was changed since it was shown: look at the conflict again, then decide."
            )
        case .refused(let reason):
            return ClinicSyncError(
                .refused,
                "The table refuses it (\(reason)): correct the row in the program, then keep \"current\" here."
            )
        }
    }

    // MARK: - Many entries

    func resolve(_ decision: ConflictsDecision) async throws -> ConflictsResolution {
        let entries = try await self.open(matching: try self.filter(decision))
        if let expected = decision.expected, expected != entries.count {
            throw ClinicSyncError(
                .refused,
                "\(entries.count) conflicts are meant now, not \(expected): look at the conflicts again, then decide."
            )
        }
        var result = ConflictsResolution(matching: entries.count, dryRun: decision.dryRun)
        guard !decision.dryRun, !entries.isEmpty else { return result }
        defer { self.wrote() }
        switch decision.keep {
        case .current: try await self.settle(entries, &result)
        case .other: try await self.restore(entries.compactMap(\.first), &result)
        }
        return result
    }

    private func filter(_ decision: ConflictsDecision) throws -> JournalFilter {
        var filter = JournalFilter()
        filter.table = decision.table
        filter.column = decision.column
        filter.kind = decision.kind
        filter.node = try decision.pc.map { try self.members.find($0).id }
        let since = decision.since?.milliseconds ?? Int64.min
        let until = decision.until?.milliseconds ?? Int64.max
        guard since <= until else {
            throw ClinicSyncError(.usage, "\"since\" is later than \"until\": no conflict is meant.")
        }
        filter.times = since...until
        return filter
    }

    /// The ids of the open entries that fit, read in pieces: other readers wait for no more than one of them.
    private func open(matching filter: JournalFilter) async throws -> [[String]] {
        var entries: [[String]] = []
        var next: String? = ""
        while let after = next {
            let page = try await StorageErrors.mapping {
                try await self.storage.read { try $0.openJournal(matching: filter, after: after) }
            }
            entries += page.entries
            next = page.next
        }
        return entries
    }

    /// Settles entries in short transactions, between which programs write.
    private func settle(_ entries: [[String]], _ result: inout ConflictsResolution) async throws {
        let ids = entries.flatMap(\.self)
        var start = 0
        var at: Int64?
        while start < ids.count {
            let part = Array(ids[start..<min(start + JournalDecisions.settledMax, ids.count)])
            let time = at
            let outcome = try await StorageErrors.mapping {
                try await self.storage.writeForPeople { try $0.journalDecisions.settle(part, at: time) }
            }
            at = outcome.at
            start += part.count
            try await Task.sleep(for: LockWaiting.gap)
        }
        // Another PC may have settled some meanwhile: these are not open either.
        result.resolved = entries.count
    }

    /// Writes lost values in short transactions, between which programs write.
    private func restore(_ ids: [String], _ result: inout ConflictsResolution) async throws {
        var start = 0
        while start < ids.count {
            let part = Array(ids[start..<min(start + JournalDecisions.restoredMax, ids.count)])
            let resolutions = try await StorageErrors.mapping {
                try await self.storage.writeForPeople { try $0.journalDecisions.restore(part) }
            }
            for (id, resolution) in zip(part, resolutions) {
                if let failure = self.failure(resolution, id) {
                    result.leave(id, reason: failure.message)
                } else {
                    result.resolved += 1
                }
            }
            start += resolutions.count
            try await Task.sleep(for: LockWaiting.gap)
        }
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
            count: entry.count,
            related: entry.related.map(row)
        )
        let decision = entry.decision.map { decision in
            ConflictSummary.Decision(
                at: UTCTimestamp(milliseconds: decision.at),
                by: decision.node.map { names[$0] ?? $0.description },
                kept: decision.kept.rawValue
            )
        }
        let values = entry.values.map { ConflictSummary.LostValue(id: $0.id, side($0.written)) }
        return ConflictSummary(facts, decision: decision, values: values)
    }

    /// Returns a PC's name.
    ///
    /// The rows that every PC begins with have no author.
    private static func name(_ node: NodeID, _ names: [NodeID: String]) -> String {
        node == Origin.genesis.node ? "The installation" : names[node] ?? ""
    }

    // MARK: - Who wrote what

    func why(_ path: String) async throws -> WhySummary {
        let report: RowReport
        let since: Int64?
        do {
            (report, since) = try await StorageErrors.mapping {
                try await self.storage.read { (try $0.report(path), try $0.stateTakenAt()) }
            }
        } catch is MalformedPath {
            throw ClinicSyncError(
                .usage,
                "Name a row as TABLE/ID or a field as TABLE/ID/FIELD, for example patients/p1."
            )
        }
        let names = self.members.names
        func author(_ version: Version) -> WhySummary.Author {
            WhySummary.Author(
                origin: version.origin.node.description,
                originName: NodeConflictControl.name(version.origin.node, names),
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
                    value: NodeConflictControl.value(column.value),
                    author: column.version.map(author),
                    beat: column.beaten.map { NodeConflictControl.describe($0, names: names) }
                )
            },
            conflicts: report.conflicts.map { NodeConflictControl.describe($0, names: names) },
            historySince: since.map { UTCTimestamp(milliseconds: $0) }
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

    /// Returns whether a program that read `expected` from JSON saw `value`.
    ///
    /// In JSON, 5 and 5.0 are equal.
    private static func isSame(_ value: SQLiteValue, _ expected: ConflictValue) -> Bool {
        let shown = self.value(value)
        if case .number(let number) = shown, case .integer(let other) = expected { return number == Double(other) }
        // Swift calls texts equal that differ in Unicode normalisation.
        if case .text(let text) = shown, case .text(let other) = expected { return text.utf8.elementsEqual(other.utf8) }
        return shown == expected
    }
}

extension ConflictChoice {
    /// The store's form of the choice.
    fileprivate var journal: JournalChoice { self == .current ? .current : .other }
}
