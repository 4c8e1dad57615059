package import ClinicSyncModel
import Foundation

/// Derives additional events from the changes of a transaction; the targets above the store implement it.
package protocol EventSource: AnyObject {
    /// The named events that follow from the changes of a transaction.
    ///
    /// The store calls this method inside the write transaction of own and foreign changes, each time it writes events.
    /// The store writes the returned events after the changes, in the returned order. The method can run twice for the
    /// same change, because a transaction can be rolled back and run again: keep all state in tables of the file.
    ///
    /// - Parameters:
    ///   - changes: the changes, in their order; a change may stand for many rows (``ChangeEvent/rows``).
    ///   - rows: reads versions of rows, and marks the rows that this call writes.
    ///   - transaction: the transaction.
    /// - Returns: The events.
    /// - Throws: an error that rolls the transaction back.
    func events(after changes: [ChangeEvent], rows: ProgramRows, in transaction: borrowing WriteTransaction) throws
        -> [NamedEvent]
}

/// The log of events: the table `clinicsync_event`.
///
/// Programs that reconnect read the events they missed from the log.
///
/// The store writes an event in the transaction of its change. So a crash leaves neither an event without its change
/// nor a change without its event.
final class EventLog: TransactionPart {
    private let origins: Origins
    private let rows: ProgramRows
    private weak var source: (any EventSource)?
    private let keptMax: Int
    /// The newest assigned position.
    private(set) var position: UInt64
    /// Events of transactions whose outcome carries no events; the next outcome with events carries them.
    private var late: [LoggedEvent] = []

    /// Makes a log that continues after `position`.
    ///
    /// - Parameters:
    ///   - origins: the authors.
    ///   - rows: gives `source` access to the rows.
    ///   - source: derives events from changes.
    ///   - position: the newest assigned position.
    ///   - keptMax: the largest number of events that the log keeps.
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

    /// Assigns positions to events and writes the events.
    ///
    /// - Returns: The events in their order. Events of tables that nodes fill themselves are not written and have
    ///   position 0.
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

    /// Writes an event that belongs to no change of a row.
    func record(_ event: NamedEvent, in transaction: borrowing WriteTransaction) throws -> LoggedEvent {
        LoggedEvent(position: try self.insert(event, in: transaction), content: .named(event))
    }

    /// Writes events of a transaction whose outcome carries no events; ``takeLate()`` returns them.
    func recordLate(_ collector: EventCollector, in transaction: borrowing WriteTransaction) throws {
        self.late += try self.record(collector, in: transaction)
    }

    /// Returns the events that no outcome has carried yet, and forgets them.
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
            INSERT OR REPLACE INTO clinicsync_event
            (position, timestamp, tableId, operation, pk, slots, rows, isLocal, origin, sequence, userId)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            """
        )
        self.position &+= 1
        statement.bind(1, self.position).bind(2, change.timestamp.rawValue).bind(3, plan.definition.number)
        statement.bind(4, change.operation.number).bind(6, slots).bind(7, change.rows)
        statement.bind(8, change.isLocal ? 1 : 0)
        statement.bind(5, change.recordID ?? .null).bind(11, change.userID ?? .null)
        if let batch = change.batch {
            statement.bind(9, try self.origins.id(of: batch.origin, in: transaction)).bind(10, batch.sequence)
        } else {
            statement.bindNull(9).bindNull(10)
        }
        try statement.run()
        return self.position
    }

    private func insert(_ event: NamedEvent, in transaction: borrowing WriteTransaction) throws -> UInt64 {
        let statement = try transaction.statement(
            """
            INSERT OR REPLACE INTO clinicsync_event (position, timestamp, pk, userId, type, category, fields)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
            """
        )
        self.position &+= 1
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

    /// The position up to which events can be removed; `nil` when no event is too old.
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

    /// The number of positions, after the last known position, that another copy of the file may have assigned.
    ///
    /// A PC whose clock shows 1970 must not assign these positions again.
    private static let unknownPositions: UInt64 = 1 << 24

    /// The number of positions that must be left after the newest one.
    private static let room: UInt64 = 1 << 40

    /// A position that the log can continue from; `nil` for what a program or a disk made of it.
    private static func usable(_ row: Statement) -> UInt64? {
        row.number(0, in: 0...Bounds.positionMax - self.room)
    }

    /// Returns the newest assigned position, or begins the numbering of positions again at a new position.
    ///
    /// A new file begins at a position computed from the present time, so that no program confuses its positions with
    /// positions of another file of this node. A file that is a copy or came from a backup also begins at a new
    /// position, because it does not know which positions the other file assigned. So does a file that was not closed
    /// before the PC went down: programs may have seen events whose commits did not reach the disk. So does a file whose
    /// positions were damaged. Each new beginning deletes all earlier events.
    ///
    /// - Parameters:
    ///   - isReborn: whether the node continues in a new incarnation.
    ///   - boot: the id of the running system; `nil` for a store without a place.
    ///   - wallMilliseconds: this PC's time.
    ///   - transaction: the transaction.
    /// - Returns: The newest assigned position.
    /// - Throws: what SQLite reports.
    static func open(
        isReborn: Bool,
        boot: String?,
        wallMilliseconds: Int64,
        in transaction: borrowing WriteTransaction
    ) throws -> UInt64 {
        let base = try Settings.read(.eventBase, on: transaction.connection) { self.usable($0) }
        let newest = try transaction.statement("SELECT max(position) FROM clinicsync_event").first { self.usable($0) }
        let isTorn = try self.noteBoot(boot, in: transaction)
        if let base = base ?? nil, let newest = newest ?? nil, !isReborn, !isTorn { return max(base, newest) }
        let last = max((base ?? nil) ?? 0, (newest ?? nil) ?? 0)
        // Positions reach 2^53, the limit of exact integers in JavaScript, in the year 2248.
        let time = UInt64(Bounds.milliseconds(clamping: wallMilliseconds)) << 10
        let start = max(last + self.unknownPositions, time)
        try transaction.execute("DELETE FROM clinicsync_event")
        try Settings.set(.eventBase, to: .integer(Int64(start)), in: transaction)
        return start
    }

    /// Records the running system on which the file is open.
    ///
    /// - Returns: Whether the system on which the file was last opened ended without closing the file.
    private static func noteBoot(_ boot: String?, in transaction: borrowing WriteTransaction) throws -> Bool {
        guard let boot else { return false }
        let noted = try Settings.read(.eventBoot, on: transaction.connection) { $0.string(0) } ?? ""
        try Settings.set(.eventBoot, to: .string(boot), in: transaction)
        return !noted.isEmpty && noted != boot
    }

    /// Records that everything is on the disk, before the file is closed.
    static func noteClosed(in transaction: borrowing WriteTransaction) throws {
        try Settings.set(.eventBoot, to: .string(""), in: transaction)
    }
}

extension RowOperation {
    /// The number that stands for the operation in the log of events.
    var number: Int {
        switch self {
        case .insert: 0
        case .update: 1
        case .delete: 2
        }
    }

    /// Makes the operation with this number.
    init?(number: Int) {
        switch number {
        case 0: self = .insert
        case 1: self = .update
        case 2: self = .delete
        default: return nil
        }
    }
}
