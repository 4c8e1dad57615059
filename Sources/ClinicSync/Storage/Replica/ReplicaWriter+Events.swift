package import ClinicSyncModel
import Foundation

/// The log of events, from which programs that come back are told what they missed.
///
/// An event is written in the transaction of its change, so that a crash leaves neither an event without a change nor a change
/// without its event. The newest ``StoreLimits/eventsKept`` are kept.
extension ReplicaWriter {
    /// The newest position given out.
    package var lastEventPosition: UInt64 { self.ledger.eventPosition }

    /// Writes down an event that goes with no change of a row.
    ///
    /// - Returns: The event with its position.
    /// - Throws: ``StoreError``; nothing is written then.
    package func recordEvent(_ event: NamedEvent) throws -> LoggedEvent {
        try self.transaction {
            LoggedEvent(position: try self.insert(event), content: .named(event))
        }
    }

    /// Gives events their positions and writes them down.
    ///
    /// Runs inside the write transaction of what they tell.
    ///
    /// - Returns: The events in their order. Those of tables that nodes fill themselves are not written, and have position 0.
    func record(_ collector: EventCollector) throws -> [LoggedEvent] {
        var collector = collector
        try self.addSessionEvents(to: &collector)
        let recorded = try collector.entries.map { entry in
            var position: UInt64 = 0
            switch entry.content {
            case .named(let event):
                position = try self.insert(event)
            case .change(let change):
                if let plan = entry.plan, plan.definition.isClinical {
                    position = try self.insert(change, plan: plan, slots: entry.slots)
                }
            }
            return LoggedEvent(position: position, content: entry.content)
        }
        return try recorded + self.tellNotices(after: recorded)
    }

    private func insert(_ change: ChangeEvent, plan: TablePlan, slots: UInt64) throws -> UInt64 {
        let position = self.nextEventPosition()
        let statement = try self.connection.statement(
            """
            INSERT INTO clinicsync_event
            (position, timestamp, tableId, operation, pk, slots, rows, isLocal, origin, sequence, userId)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            """
        )
        statement.bind(1, position).bind(2, change.timestamp.rawValue).bind(3, plan.definition.number)
        statement.bind(4, change.operation.number).bind(6, slots).bind(7, change.rows)
        statement.bind(8, change.isLocal ? 1 : 0)
        if let key = change.recordID { statement.bind(5, text: key) } else { statement.bindNull(5) }
        if let batch = change.batch {
            statement.bind(9, try self.id(of: batch.origin)).bind(10, batch.sequence)
        } else {
            statement.bindNull(9).bindNull(10)
        }
        if let user = change.userID { statement.bind(11, text: user) } else { statement.bindNull(11) }
        try statement.run()
        return position
    }

    func insert(_ event: NamedEvent) throws -> UInt64 {
        let position = self.nextEventPosition()
        let statement = try self.connection.statement(
            """
            INSERT INTO clinicsync_event (position, timestamp, pk, userId, type, category, fields)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
            """
        )
        statement.bind(1, position).bind(2, event.timestamp.rawValue)
        if let record = event.recordID { statement.bind(3, text: record) } else { statement.bindNull(3) }
        if let user = event.userID { statement.bind(4, text: user) } else { statement.bindNull(4) }
        statement.bind(5, text: event.type).bind(6, text: event.category.rawValue)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        statement.bind(7, text: String(decoding: try encoder.encode(event.fields), as: UTF8.self))
        try statement.run()
        return position
    }

    private func nextEventPosition() -> UInt64 {
        self.ledger.eventPosition += 1
        return self.ledger.eventPosition
    }

    /// Removes the events that are more than are kept.
    ///
    /// - Throws: ``StoreError``.
    func pruneEvents() throws {
        let newest = self.ledger.eventPosition
        guard newest > UInt64(self.limits.eventsKept) else { return }
        let last = newest - UInt64(self.limits.eventsKept)
        let isTooLong: Bool? = try self.perform {
            try self.connection.statement("SELECT 1 FROM clinicsync_event WHERE position <= ?1 LIMIT 1")
                .bind(1, last)
                .first { _ in true }
        }
        guard isTooLong == true else { return }
        try self.transaction {
            try self.connection.statement("DELETE FROM clinicsync_event WHERE position <= ?1").bind(1, last).run()
        }
    }

    // MARK: - Opening

    /// The setting that holds the position after which the first event of this life of the file comes.
    private static let eventBaseSetting = "eventBase"

    /// The setting that holds the id of the system on which the file was opened last; empty after it was closed.
    private static let eventBootSetting = "eventBoot"

    /// Positions that another life of the file may have given out after the last one that is known: a PC whose clock says 1970
    /// must not give them out again.
    private static let unknownPositions: UInt64 = 1 << 24

    /// The newest position given out.
    ///
    /// A new file begins at its time, so that no position of another file of this node is taken for one of this. So does one that
    /// is a copy or came from a backup, whose events are forgotten: it does not know which positions its other self gave out. So does one that was not closed before the PC went down: commits that
    /// were told may not have reached the disk.
    ///
    /// Runs inside a write transaction.
    static func openEvents(
        _ connection: Connection,
        isReborn: Bool,
        boot: String?,
        wallMilliseconds: Int64
    ) throws -> UInt64 {
        let base = try connection.statement("SELECT value FROM clinicsync_setting WHERE name = ?1")
            .bind(1, text: self.eventBaseSetting)
            .first { $0.unsigned(0) }
        let newest = try connection.statement("SELECT max(position) FROM clinicsync_event").first { $0.unsigned(0) }
        let last = max(base ?? 0, newest ?? 0)
        let isTorn = try self.noteBoot(boot, connection)
        guard base == nil || isReborn || isTorn else { return last }
        // 2 to the 53rd, above which JavaScript counts no more, is reached in the year 2248.
        let start = max(last + self.unknownPositions, UInt64(max(wallMilliseconds, 0)) << 10)
        try connection.execute("DELETE FROM clinicsync_event")
        try self.set(self.eventBaseSetting, to: .integer(Int64(start)), connection)
        return start
    }

    /// Writes down on which system the file is open.
    ///
    /// - Returns: Whether it was not closed on the system on which it was opened last, which runs no more.
    private static func noteBoot(_ boot: String?, _ connection: Connection) throws -> Bool {
        guard let boot else { return false }
        let noted =
            try connection.statement("SELECT value FROM clinicsync_setting WHERE name = ?1")
            .bind(1, text: self.eventBootSetting)
            .first { $0.string(0) } ?? ""
        try self.set(self.eventBootSetting, to: .string(boot), connection)
        return !noted.isEmpty && noted != boot
    }

    /// Writes down that everything is on the disk, before the file is closed.
    func closeEvents() throws {
        try self.durably {
            try self.transaction {
                try ReplicaWriter.set(ReplicaWriter.eventBootSetting, to: .string(""), self.connection)
            }
        }
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
