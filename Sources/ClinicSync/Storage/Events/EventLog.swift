package import ClinicSyncModel
import Foundation

/// Derives events of its own from the changes of a transaction, for the targets above the store.
package protocol EventSource: AnyObject {
    /// The named events that follow from the changes of a transaction.
    ///
    /// Called inside the write transaction of the changes, own and foreign, each time the store writes down events. The
    /// store writes down what this returns after the changes, in the order given. It may run twice for one change, in a
    /// transaction that is rolled back and run again: keep what must be remembered in tables of the file.
    ///
    /// - Parameters:
    ///   - changes: the changes, in their order; a change may stand for many rows (``ChangeEvent/rows``).
    ///   - rows: reads versions of rows and marks rows that this call writes.
    ///   - transaction: the transaction.
    /// - Returns: The events.
    /// - Throws: an error that rolls the transaction back.
    func events(after changes: [ChangeEvent], rows: ProgramRows, in transaction: borrowing WriteTransaction) throws
        -> [NamedEvent]
}

/// The log of events, `clinicsync_event`, from which programs that come back read what they missed.
///
/// An event is written in the transaction of its change, so that a crash leaves neither an event without a change nor a change
/// without its event.
final class EventLog: TransactionPart {
    private let origins: Origins
    private let rows: ProgramRows
    private weak var source: (any EventSource)?
    private let keptMax: Int
    /// The newest position given out.
    private(set) var position: UInt64
    /// Events of a transaction whose outcome has none; the next outcome brings them.
    private var late: [LoggedEvent] = []

    /// Continues after `position`.
    ///
    /// - Parameters:
    ///   - origins: the authors.
    ///   - rows: what `source` works with.
    ///   - source: derives events from changes.
    ///   - position: the newest position given out.
    ///   - keptMax: the number of events that are kept.
    init(origins: Origins, rows: ProgramRows, source: (any EventSource)?, position: UInt64, keptMax: Int) {
        self.origins = origins
        self.rows = rows
        self.source = source
        self.position = position
        self.keptMax = keptMax
    }

    func memory() -> () -> Void {
        let (position, late) = (self.position, self.late)
        return { (self.position, self.late) = (position, late) }
    }

    // MARK: - Writing

    /// Gives events their positions and writes them down.
    ///
    /// - Returns: The events in their order. Those of tables that nodes fill themselves are not written, and have position 0.
    func record(_ collector: EventCollector, in transaction: borrowing WriteTransaction) throws -> [LoggedEvent] {
        guard !collector.entries.isEmpty else { return [] }
        var recorded: [LoggedEvent] = []
        var changes: [ChangeEvent] = []
        for entry in collector.entries {
            var position: UInt64 = 0
            switch entry.content {
            case .named(let event):
                position = try self.insert(event, in: transaction)
            case .change(let change):
                changes.append(change)
                if let plan = entry.plan, plan.definition.isClinical {
                    position = try self.insert(change, plan: plan, slots: entry.slots, in: transaction)
                }
            }
            recorded.append(LoggedEvent(position: position, content: entry.content))
        }
        guard let source = self.source, !changes.isEmpty else { return recorded }
        for event in try source.events(after: changes, rows: self.rows, in: transaction) {
            recorded.append(try self.record(event, in: transaction))
        }
        return recorded
    }

    /// Writes down an event that belongs to no change of a row.
    func record(_ event: NamedEvent, in transaction: borrowing WriteTransaction) throws -> LoggedEvent {
        LoggedEvent(position: try self.insert(event, in: transaction), content: .named(event))
    }

    /// Writes down events of a transaction whose outcome has none; ``takeLate()`` brings them.
    func recordLate(_ collector: EventCollector, in transaction: borrowing WriteTransaction) throws {
        self.late += try self.record(collector, in: transaction)
    }

    /// Takes the events that no outcome has brought yet.
    func takeLate() -> [LoggedEvent] {
        defer { self.late = [] }
        return self.late
    }

    private func insert(
        _ change: ChangeEvent,
        plan: TablePlan,
        slots: UInt64,
        in transaction: borrowing WriteTransaction
    ) throws -> UInt64 {
        let statement = try transaction.statement(
            """
            INSERT INTO clinicsync_event
            (position, timestamp, tableId, operation, pk, slots, rows, isLocal, origin, sequence, userId)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            """
        )
        self.position += 1
        statement.bind(1, self.position).bind(2, change.timestamp.rawValue).bind(3, plan.definition.number)
        statement.bind(4, change.operation.number).bind(6, slots).bind(7, change.rows)
        statement.bind(8, change.isLocal ? 1 : 0)
        if let key = change.recordID { statement.bind(5, text: key) } else { statement.bindNull(5) }
        if let batch = change.batch {
            statement.bind(9, try self.origins.id(of: batch.origin, in: transaction)).bind(10, batch.sequence)
        } else {
            statement.bindNull(9).bindNull(10)
        }
        if let user = change.userID { statement.bind(11, text: user) } else { statement.bindNull(11) }
        try statement.run()
        return self.position
    }

    private func insert(_ event: NamedEvent, in transaction: borrowing WriteTransaction) throws -> UInt64 {
        let statement = try transaction.statement(
            """
            INSERT INTO clinicsync_event (position, timestamp, pk, userId, type, category, fields)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
            """
        )
        self.position += 1
        statement.bind(1, self.position).bind(2, event.timestamp.rawValue)
        if let record = event.recordID { statement.bind(3, text: record) } else { statement.bindNull(3) }
        if let user = event.userID { statement.bind(4, text: user) } else { statement.bindNull(4) }
        statement.bind(5, text: event.type).bind(6, text: event.category.rawValue)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        statement.bind(7, text: String(decoding: try encoder.encode(event.fields), as: UTF8.self))
        try statement.run()
        return self.position
    }

    // MARK: - Pruning

    /// The position up to which events are removed; `nil` when no event is too old.
    func pruneLimit(on connection: Connection) throws -> UInt64? {
        guard self.position > UInt64(self.keptMax) else { return nil }
        let last = self.position - UInt64(self.keptMax)
        let isTooLong: Bool? = try connection.query("SELECT 1 FROM clinicsync_event WHERE position <= ?1 LIMIT 1")
            .bind(1, last)
            .first { _ in true }
        return isTooLong == true ? last : nil
    }

    /// Removes the events up to a position.
    func prune(upTo last: UInt64, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("DELETE FROM clinicsync_event WHERE position <= ?1").bind(1, last).run()
    }

    // MARK: - Opening and closing

    /// Positions that another life of the file may have given out after the last known one.
    ///
    /// A PC whose clock says 1970 must not give them out again.
    private static let unknownPositions: UInt64 = 1 << 24

    /// Returns the newest position given out, or begins the numbering of positions at a new place.
    ///
    /// A new file begins at its time, so that no position of another file of this node can be mistaken for one of this file. A
    /// file that is a copy or came from a backup begins at a new place too, because it does not know which positions its other
    /// self gave out; its events are forgotten. So does a file that was not closed before the PC went down: commits whose
    /// events programs have seen may not have reached the disk.
    ///
    /// - Parameters:
    ///   - isReborn: whether the node continues in a new incarnation.
    ///   - boot: the id of the running system; `nil` for a store without a place.
    ///   - wallMilliseconds: this PC's time.
    ///   - transaction: the transaction.
    /// - Returns: The newest position given out.
    /// - Throws: what SQLite reports.
    static func open(
        isReborn: Bool,
        boot: String?,
        wallMilliseconds: Int64,
        in transaction: borrowing WriteTransaction
    ) throws -> UInt64 {
        let base = try Settings.read(.eventBase, on: transaction.connection) { $0.unsigned(0) }
        let newest = try transaction.statement("SELECT max(position) FROM clinicsync_event").first { $0.unsigned(0) }
        let last = max(base ?? 0, newest ?? 0)
        let isTorn = try self.noteBoot(boot, in: transaction)
        guard base == nil || isReborn || isTorn else { return last }
        // 2 to the 53rd, above which JavaScript counts no more, is reached in the year 2248.
        let start = max(last + self.unknownPositions, UInt64(max(wallMilliseconds, 0)) << 10)
        try transaction.execute("DELETE FROM clinicsync_event")
        try Settings.set(.eventBase, to: .integer(Int64(start)), in: transaction)
        return start
    }

    /// Writes down on which running system the file is open.
    ///
    /// - Returns: Whether the file was not closed on the system on which it was opened last, and that system runs no more.
    private static func noteBoot(_ boot: String?, in transaction: borrowing WriteTransaction) throws -> Bool {
        guard let boot else { return false }
        let noted = try Settings.read(.eventBoot, on: transaction.connection) { $0.string(0) } ?? ""
        try Settings.set(.eventBoot, to: .string(boot), in: transaction)
        return !noted.isEmpty && noted != boot
    }

    /// Writes down that everything is on the disk, before the file is closed.
    static func noteClosed(in transaction: borrowing WriteTransaction) throws {
        try Settings.set(.eventBoot, to: .string(""), in: transaction)
    }
}

extension RowOperation {
    /// The number under which the log of events keeps the operation.
    var number: Int {
        switch self {
        case .insert: 0
        case .update: 1
        case .delete: 2
        }
    }

    /// The operation of that number.
    init?(number: Int) {
        switch number {
        case 0: self = .insert
        case 1: self = .update
        case 2: self = .delete
        default: return nil
        }
    }
}
