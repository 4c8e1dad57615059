import ClinicSyncCore
package import ClinicSyncModel

/// Which node wrote which value of a row, for people.
package struct RowReport: Sendable, Hashable {
    /// Where the row is.
    package enum State: String, Sendable, Hashable, CaseIterable {
        /// In its table.
        case shown
        /// Alive, and not in its table: see the entries of the journal.
        case hidden
        /// Deleted.
        case deleted
        /// This node never heard of the row.
        case unknown
    }

    /// A column of the row.
    package struct Column: Sendable, Hashable {
        /// Its name.
        package var name: String
        /// What the table shows; of a row that is not in its table the last value known.
        package var value: SQLiteValue
        /// Who wrote that, and when; `nil` for what a program of this PC has just written and the node has not collected.
        package var version: Version?
        /// What it beat: entries of the journal about this column, newest first.
        package var beaten: [JournalEntry]
    }

    /// The table.
    package var table: String
    /// The row's key.
    package var key: SQLiteValue
    /// The column that was asked about; `nil`: all.
    package var column: String?
    /// Where the row is.
    package var state: State
    /// The newest deletion, also of a row that survived it; `nil` when the row was never deleted.
    package var deletion: Version?
    /// The columns asked about; none when the row is unknown.
    package var columns: [Column]
    /// Entries of the journal about the row as a whole, newest first.
    package var conflicts: [JournalEntry]
}

/// A path that is not `TABLE/PK` or `TABLE/PK/COLUMN`.
package struct MalformedPath: Error, Hashable {}

/// Finds out which node wrote which value of a row.
struct RowReporter {
    let plans: TablePlans
    let loader: RowStateLoader

    /// Reports the row that a path names, or one column of it; see ``ReplicaReader/report(_:)``.
    func report(_ path: String) throws -> RowReport {
        let parts = path.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { throw MalformedPath() }
        guard let plan = try self.plans.clinical(parts[0]).first else { throw UnknownTable(name: parts[0]) }
        var named = (key: SQLiteValue.string(parts[1]), column: String?.none)
        for place in RowReporter.places(parts[1], plan: plan) {
            named = place
            if let report = try self.report(plan, key: place.key, column: place.column) { return report }
        }
        return RowReport(
            table: plan.definition.name,
            key: named.key,
            column: named.column,
            state: .unknown,
            columns: [],
            conflicts: []
        )
    }

    /// What a path may mean, the likeliest first.
    private static func places(_ text: String, plan: TablePlan) -> [(key: SQLiteValue, column: String?)] {
        var places = SQLiteValue.displayed(as: text).map { (key: $0, column: String?.none) }
        guard let slash = text.lastIndex(of: "/") else { return places }
        let column = String(text[text.index(after: slash)...])
        guard plan.slot(of: column) != nil else { return places }
        places += SQLiteValue.displayed(as: String(text[..<slash])).map { (key: $0, column: column) }
        return places
    }

    /// Reports a row; `nil` when nothing is known of it.
    private func report(
        _ plan: TablePlan,
        key: SQLiteValue,
        column: String?
    ) throws -> RowReport? {
        let shown: [SQLiteValue]? = try self.loader.connection.query(plan.sql.select).bind(1, key).first { row in
            (0..<plan.slotCount).map { row.ref(Int32($0)).value }
        }
        let state = try self.loader.shown(plan, key: key)
        guard shown != nil || state != nil else { return nil }
        var report = RowReport(
            table: plan.definition.name,
            key: key,
            column: column,
            state: .shown,
            deletion: state?.deletion?.version,
            columns: [],
            conflicts: []
        )
        if shown == nil {
            report.state = state?.isVisible(plan.definition.deletePolicy) == true ? .hidden : .deleted
        }
        let entries = try JournalReading(plans: self.plans, loader: self.loader).entries(plan, key: key)
        report.conflicts = entries.filter { $0.column == nil }
        for (slot, name) in plan.names.enumerated() {
            guard let name, slot != plan.keySlot, column == nil || column == name else { continue }
            let register = state.flatMap { slot < $0.registers.count ? $0.registers[slot] : nil }
            let isCounter = plan.counterSlots & (1 << UInt64(slot)) != 0
            let last = isCounter ? state?.counterValue(slot: slot) : register?.value
            report.columns.append(
                RowReport.Column(
                    name: name,
                    value: shown?[slot] ?? last ?? .null,
                    version: register?.version ?? state?.birth,
                    beaten: entries.filter { $0.column == name && $0.other.value != $0.current?.value }
                )
            )
        }
        return report
    }
}
