package import ClinicSyncModel
import Foundation

extension ReplicaReader {
    /// Events after `position`, the oldest first, at most `limit` of them.
    ///
    /// - Throws: ``StoreError``.
    package func events(after position: UInt64, limit: Int) throws -> EventPage {
        try self.perform {
            try self.refreshOrigins()
            let newest = try self.newestEvent()
            // Programs can write into the table; the log has no such positions.
            let oldest =
                try self.connection
                .query("SELECT min(position) FROM clinicsync_event WHERE position BETWEEN 1 AND ?1")
                .bind(1, newest)
                .first { $0.isNull(0) ? nil : try $0.position(0) }
            var events: [LoggedEvent] = []
            // No position is larger than an Int64; what a program asks for may be.
            try self.connection
                .query(
                    """
                    SELECT position, timestamp, tableId, operation, pk, slots, rows, isLocal, origin, sequence, userId, type,
                    category, fields FROM clinicsync_event WHERE position > ?1 AND position <= ?3
                    ORDER BY position LIMIT ?2
                    """
                )
                .bind(1, Int64(clamping: position))
                .bind(2, limit)
                .bind(3, newest)
                .forEach { events.append(try self.event($0)) }
            return EventPage(oldest: (oldest ?? nil) ?? newest &+ 1, newest: newest, events: events)
        }
    }

    private func newestEvent() throws -> UInt64 {
        try self.connection
            .query(
                """
                SELECT max(coalesce((SELECT max(position) FROM clinicsync_event WHERE position BETWEEN 1 AND ?1), 0),
                coalesce((SELECT value FROM clinicsync_setting WHERE name = 'eventBase' AND typeof(value) = 'integer'
                AND value BETWEEN 0 AND ?1), 0))
                """
            )
            .bind(1, Bounds.positionMax)
            .first { try $0.position(0) } ?? 0
    }

    private func event(_ row: Statement) throws -> LoggedEvent {
        let timestamp = HybridTimestamp(rawValue: row.unsigned(1))
        if row.isNull(2) {
            let event = NamedEvent(
                type: row.string(11),
                category: EventCategory(rawValue: row.string(12)) ?? .system,
                recordID: row.isNull(4) ? nil : row.string(4),
                timestamp: timestamp,
                fields: Self.fields(row.string(13))
            )
            return LoggedEvent(position: try row.position(0), content: .named(event))
        }
        // A table that is replicated no more keeps its events until they are pruned.
        let plan = self.plans[row.int(2)]
        let change = ChangeEvent(
            category: plan?.definition.category ?? .data,
            table: plan?.definition.name ?? "",
            operation: RowOperation(number: row.int(3)) ?? .update,
            recordID: row.isNull(4) ? nil : row.value(4),
            columns: plan?.columnNames(row.unsigned(5)) ?? [],
            rows: row.int(6),
            timestamp: timestamp,
            isLocal: row.int64(7) != 0,
            batch: row.isNull(8)
                ? nil
                : self.origins.author(row.int(8)).map {
                    BatchID(origin: $0, sequence: min(UInt64(clamping: row.int64(9)), Bounds.sequenceMax))
                },
            userID: row.isNull(10) ? nil : row.value(10)
        )
        return LoggedEvent(position: try row.position(0), content: .change(change))
    }

    /// The fields in a column of the log; none when a program has written something else there.
    private static func fields(_ text: String) -> [String: EventValue] {
        do { return try JSONDecoder().decode([String: EventValue].self, from: Data(text.utf8)) } catch { return [:] }
    }
}
