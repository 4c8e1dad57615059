import ClinicSyncCore
import ClinicSyncModel
import GRDB

/// Puts capture in order after a change of the schema, and keeps the rows of tables that programs dropped, renamed or made again.
///
/// A table that is gone, or came back without its rows, is no deletion: rows are deleted by DELETE alone. So what the node knows of
/// the rows is forgotten, without tombstones, and the rows return from the log and from other nodes.
/// `docs/design/0019-missing-tables.md` has the rules.
struct MissingTables {
    let rows: RowStates
    let notes: StoreNotes
    /// Own tables that were missing and are empty now, without `clinicsync_`.
    var remade: [String] = []

    /// What became of the tables.
    struct Outcome {
        /// The tables whose triggers were missing and were created again.
        var repaired: [String] = []
        /// The tables that vanished or came back.
        var notices: [TableNotice] = []
    }

    /// Puts triggers, marks and notes in order for the tables that were just read; the plans of ``rows`` are theirs.
    ///
    /// - Parameters:
    ///   - tables: the tables.
    ///   - isMigrated: whether a migration changed the schema just now, so that all triggers are gone.
    ///   - db: the database.
    ///   - transaction: the transaction.
    /// - Returns: What became of the tables.
    /// - Throws: what SQLite reports.
    func settle(
        _ tables: ClinicTables,
        isMigrated: Bool,
        in db: Database,
        _ transaction: borrowing WriteTransaction
    ) throws -> Outcome {
        let moved = try CaptureTriggers.moved(in: db)
        var outcome = Outcome()
        var incomplete = try MissingTables.incomplete(on: transaction.connection)
        let lost = Set(self.remade.map { "clinicsync_" + $0 })
        for table in tables.tables where table.isClinical || lost.contains(table.name) {
            guard let plan = self.rows.plans[table.number] else { continue }
            let vanished: UInt64 = table.columns.reduce(0) { $1.isVanished ? $0 | 1 << UInt64($1.slot) : $0 }
            if vanished != 0, try self.rows.table.forget(vanished, of: plan, in: transaction) > 0 {
                // The log brings back what it has of the dropped values; the rest comes with the next comparison.
                incomplete.insert(table.number)
            }
            let isBack = self.notes.isMissing(table.name) || lost.contains(table.name)
            if lost.contains(table.name) {
                incomplete.insert(table.number)
            } else if isBack {
                try self.notes.removeMissing(table.name, in: transaction)
                outcome.notices.append(.returned(table: table.name))
                incomplete.insert(table.number)
            }
            let isNew = try !CaptureTriggers.exist(on: table.name, in: db)
            guard isNew || isBack else { continue }
            if try self.keepRows(of: plan, isBack: isBack, isMoved: moved[table.name] != nil, in: transaction) {
                incomplete.insert(table.number)
            }
        }
        for table in tables.absent {
            let isView = try db.viewExists(table.name)
            guard let notice = try self.miss(table, movedTo: moved[table.name], isView: isView, in: transaction) else {
                continue
            }
            outcome.notices.append(notice)
        }
        try MissingTables.note(incomplete, in: transaction)
        if !isMigrated { try self.markNewColumns(of: tables, in: db, transaction) }
        let repaired = try CaptureTriggers.install(for: tables, in: db)
        outcome.repaired = repaired.map(\.name)
        let remade = try self.remade(in: db, transaction)
        // Whatever was written to a table while its triggers were gone is found by comparing the whole table.
        for table in isMigrated ? tables.tables : repaired {
            guard let plan = self.rows.plans[table.number] else { continue }
            if isMigrated {
                try self.rows.marks.markAll(plan, in: transaction)
            } else {
                // A program copied the rows into the new table, and so had read them: what differs is its ordinary edit.
                if remade.contains(table.name) {
                    try self.rows.marks.markPresent(plan, in: transaction)
                }
                try self.rows.marks.compareAll(plan, in: transaction)
            }
        }
        return outcome
    }

    /// The tables that are other ones than when the schema was last read, also by an earlier process; notes which they are now.
    private func remade(in db: Database, _ transaction: borrowing WriteTransaction) throws -> Set<String> {
        let present = try CaptureTriggers.identities(in: db)
        let text = try Settings.read(.tableIdentities, on: transaction.connection) { $0.string(0) } ?? ""
        var known: [String: Int64] = [:]
        for part in text.split(separator: ",") {
            let pair = part.split(separator: ":")
            guard pair.count == 2, let identity = Int64(pair[1]) else { continue }
            known[String(pair[0])] = identity
        }
        let tables = self.rows.plans.all.map(\.definition.name)
        let current = tables.compactMap { name in present[name].map { "\(name):\($0)" } }.joined(separator: ",")
        if current != text { try Settings.set(.tableIdentities, to: .string(current), in: transaction) }
        return Set(tables.filter { name in known[name].map { $0 != present[name] } ?? false })
    }

    // MARK: - Tables that are gone

    /// Notes a table that is gone or does not fit.
    ///
    /// Its marks are dropped: what they say of is in no table any more. In particular they are no deletions.
    ///
    /// - Returns: What to tell people; `nil` when that was told before.
    private func miss(
        _ table: AbsentTable,
        movedTo name: String?,
        isView: Bool,
        in transaction: borrowing WriteTransaction
    ) throws -> TableNotice? {
        try self.rows.marks.removeAll(ofTable: table.number, in: transaction)
        let isKnown = self.notes.isMissing(table.name)
        var reason = table.error.message
        if case .missingTable = table.error {
            // The note was made when the table was renamed, and says so.
            if isKnown { return nil }
            reason = MissingTables.reason(table.name, movedTo: name, isView: isView)
        }
        try self.notes.addMissing(table.name, reason: reason, in: transaction)
        return isKnown ? nil : .missing(table: table.name, reason: reason)
    }

    private static func reason(_ table: String, movedTo name: String?, isView: Bool) -> String {
        let place = name.map { "is called \($0) now" } ?? "is not in this PC's database"
        let what = isView ? "\(place), and a view has its name" : place
        return "the table \(what): its rows wait until there is a table \(table) again"
    }

    // MARK: - Tables that came back or were made again

    /// Forgets the rows that a table has lost with its making, unless programs deleted them one by one.
    ///
    /// A table that was made again with most of its rows, as programs do to change its shape, has deleted the others
    /// (`docs/design/0014-unmarked-changes.md`).
    ///
    /// - Returns: Whether rows are missing now that were not deleted.
    private func keepRows(
        of plan: TablePlan,
        isBack: Bool,
        isMoved: Bool,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        if !isBack, !isMoved, try !self.rows.table.hasLostMostRows(plan, on: transaction.connection) { return false }
        // Deletions in the table that was renamed are none in the clinic's table.
        if isMoved { try self.rows.marks.removeMissing(plan, in: transaction) }
        guard try self.rows.table.forgetMissing(plan, in: transaction) > 0 else { return false }
        try self.rows.table.correctTotal(plan, in: transaction)
        try ForgottenRows.noteLostRows(in: transaction)
        return true
    }

    /// Marks the rows with values in columns that were added: a program wrote these values, whatever else made the table anew.
    private func markNewColumns(
        of tables: ClinicTables,
        in db: Database,
        _ transaction: borrowing WriteTransaction
    ) throws {
        for table in tables.tables {
            guard let plan = self.rows.plans[table.number] else { continue }
            for column in try CaptureTriggers.newColumns(of: table, in: db) {
                try self.rows.marks.mark(
                    plan,
                    differingIn: column.name,
                    from: column.defaultValue,
                    in: transaction
                )
            }
        }
    }

    // MARK: - Tables that are not complete

    /// The numbers of the tables whose rows have to be brought back.
    static func incomplete(on connection: Connection) throws -> Set<Int> {
        let text = try Settings.read(.incompleteTables, on: connection) { $0.string(0) } ?? ""
        return Set(text.split(separator: ",").compactMap { Int($0) })
    }

    /// Keeps the numbers of the tables whose rows have to be brought back.
    static func note(_ tables: Set<Int>, in transaction: borrowing WriteTransaction) throws {
        guard try tables != self.incomplete(on: transaction.connection) else { return }
        let text = tables.sorted().map(String.init).joined(separator: ",")
        try Settings.set(.incompleteTables, to: .string(text), in: transaction)
    }
}
