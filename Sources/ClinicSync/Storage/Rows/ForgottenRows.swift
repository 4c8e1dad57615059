import ClinicSyncCore
import ClinicSyncModel

/// The deletions that every active member has had for so long that nodes forget them.
///
/// A deleted row all of whose versions ``vector`` covers is forgotten: it counts in no sum and in no comparison of nodes, whether a
/// node still has its tombstone or not. So nodes with the same batches and the same horizon have the same sums, although they
/// remove tombstones at different moments. See `docs/design/0028-tombstones.md`.
struct ForgottenRows: Equatable {
    /// The table in which a host writes them down.
    static let table = "clinicsync_horizon"
    /// The key of the only row of that table that counts.
    static let key = "clinic"
    /// The column of that table.
    private static let column = "forgotten"

    /// The batches whose deletions are forgotten.
    var vector = VersionVector()

    /// Whether a deleted row is forgotten.
    ///
    /// Every node says the same of one state, whatever its schema is. Two kinds are never forgotten: a row that was there from the
    /// beginning, which a new PC brings along; and one with a value that its deleters had not seen. The journal has that value
    /// because of the row's state, so all nodes must have the state.
    func contain(_ state: RowState) -> Bool {
        guard !self.vector.isEmpty, let deletion = state.deletion, state.birth.sequence > 0 else { return false }
        return state.names(only: { self.vector.covers($0) }) && !state.hasValues(beyond: deletion.seen)
    }

    // MARK: - Stored forms

    /// By which deletions this node makes its sums.
    ///
    /// - Throws: what SQLite reports. What cannot be read counts as nothing, and is written again.
    static func inUse(on connection: Connection) throws -> ForgottenRows {
        try self.read(.forgotten, on: connection)
    }

    /// What tombstones that were removed from this file may have been of.
    ///
    /// - Throws: what SQLite reports.
    static func removed(on connection: Connection) throws -> ForgottenRows {
        try self.read(.removed, on: connection)
    }

    private static func read(_ name: Settings.Name, on connection: Connection) throws -> ForgottenRows {
        guard try connection.hasTable("clinicsync_setting") else { return ForgottenRows() }
        return try Settings.read(name, on: connection) { self.decoded($0.blob(0)) } ?? ForgottenRows()
    }

    private static func decoded(_ bytes: UnsafeRawBufferPointer) -> ForgottenRows {
        do throws(MalformedRecord) {
            return ForgottenRows(vector: try VectorCoding.decode(bytes))
        } catch {
            return ForgottenRows()
        }
    }

    /// Makes sums by these deletions from now on.
    func use(in transaction: borrowing WriteTransaction) throws {
        try Settings.set(.forgotten, to: .blob(VectorCoding.encode(self.vector)), in: transaction)
    }

    /// Notes that tombstones of these deletions may be gone from this file, or that they never came to it.
    func noteRemoved(in transaction: borrowing WriteTransaction) throws {
        var removed = try ForgottenRows.removed(on: transaction.connection)
        guard !removed.vector.covers(self.vector) else { return }
        removed.vector.merge(self.vector)
        try Settings.set(.removed, to: .blob(VectorCoding.encode(removed.vector)), in: transaction)
    }

    /// Notes that this file lost rows that nobody deleted, for example to damage; they come back from another node.
    ///
    /// From now on, what the file lacks is no sign of a deletion. That is so for ever, because nothing proves that all came back.
    static func noteLostRows(in transaction: borrowing WriteTransaction) throws {
        try Settings.set(.lostRows, to: .integer(1), in: transaction)
    }

    /// Whether this file once lost rows that nobody deleted.
    ///
    /// - Throws: what SQLite reports.
    static func hasLostRows(on connection: Connection) throws -> Bool {
        try Settings.read(.lostRows, on: connection) { _ in true } ?? false
    }

    // MARK: - What hosts decide

    /// Whether the file's horizon has the column.
    static func areDecided(_ plans: TablePlans) -> Bool {
        guard let plan = plans[self.table], let slot = plan.slot(of: self.column) else { return false }
        return plan.names[slot] == self.column && plan.asideSlots & (1 << UInt64(slot)) == 0
    }

    /// What a host decided last; nothing when the row cannot be read, which any program may have written.
    ///
    /// - Throws: what SQLite reports.
    static func decided(_ plans: TablePlans, on connection: Connection) throws -> ForgottenRows {
        guard self.areDecided(plans), try connection.hasTable(self.table) else { return ForgottenRows() }
        return try connection.query("SELECT forgotten FROM clinicsync_horizon WHERE id = ?1")
            .bind(1, text: self.key)
            .first { self.decoded($0.blob(0)) } ?? ForgottenRows()
    }
}
