import ClinicSyncCore
import ClinicSyncModel

/// Announces the columns that programs added in this node's file, takes up those that other nodes announce, and says which PCs
/// lack one.
///
/// `docs/design/0018-added-columns.md` has the rules.
final class ColumnFollower {
    private let transactions: Transactions
    private let rows: RowStates
    private let notes: StoreNotes
    private let announcement: ColumnAnnouncement
    /// The columns of which people know that some PCs lack them.
    private var told: Set<AddedColumnReport.Column> = []
    /// The digest of the announcements that were looked at last.
    private var lookedAt: Digest?

    /// Follows the columns of `opened`.
    init(_ opened: StoreOpening.Opened, programRows: ProgramRows) {
        self.transactions = opened.transactions
        self.rows = opened.saver.rows
        self.notes = opened.notes
        self.announcement = ColumnAnnouncement(programRows: programRows)
    }

    /// Announces the columns that were added before the store was opened.
    ///
    /// - Throws: ``StoreError``.
    func begin() throws {
        try self.announce()
        self.told = Set(try self.waiting().map(\.column))
    }

    /// Announces the present columns, before their first values leave this node.
    ///
    /// - Returns: What to tell people: the columns that some PCs lack, as far as it was not told.
    /// - Throws: ``StoreError``.
    func announceChanges() throws -> [TableNotice] {
        try self.announce()
        let entries = try self.waiting()
        defer { self.told = Set(entries.map(\.column)) }
        return entries.filter { !self.told.contains($0.column) && !$0.column.name.isEmpty }.map { entry in
            .columnWaits(table: entry.column.table, column: entry.column.name, reason: entry.reason)
        }
    }

    /// Whether values came of unknown columns that other nodes announce: the schema must be read again, so that they need not
    /// wait in the log.
    ///
    /// - Throws: ``StoreError``.
    func hasNewColumns() throws -> Bool {
        guard self.notes.takeUnknownColumns() else { return try self.hasOtherDefaults() }
        return try self.transactions.read { connection in
            let report = AddedColumnReport(plans: self.rows.plans, connection: connection)
            return try report.announcesAny(of: self.notes.unread(on: connection).map(\.detail))
        }
    }

    /// Whether the clinic has another default than this node for a column that programs added here: two PCs added it with
    /// different defaults.
    private func hasOtherDefaults() throws -> Bool {
        // This runs with every request: as long as no node's row changed, there is nothing to look at.
        guard let members = self.rows.plans["clinicsync_node"] else { return false }
        let digest = self.rows.table.digest(of: members)
        guard digest != self.lookedAt else { return false }
        self.lookedAt = digest
        let own = AddedColumns(of: self.rows.plans.tables)
        guard !own.tables.isEmpty else { return false }
        return try self.transactions.read { connection in
            try AddedColumnReport(plans: self.rows.plans, connection: connection).hasOtherDefaults(than: own)
        }
    }

    /// Whether no mark is left, so that what waited can be merged.
    ///
    /// - Throws: ``StoreError``.
    func hasNoMarks() throws -> Bool {
        try self.transactions.read { try self.rows.marks.count(limit: 1, on: $0) == 0 }
    }

    private func announce() throws {
        guard try self.transactions.read({ try self.announcement.isDue(on: $0) }) else { return }
        try self.transactions.write(.durable) { transaction in
            try self.announcement.renew(in: transaction)
            return .durable
        }
    }

    private func waiting() throws -> [AddedColumnReport.Entry] {
        try self.transactions.read { try AddedColumnReport(plans: self.rows.plans, connection: $0).entries() }
    }
}
