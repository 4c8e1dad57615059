import ClinicSyncModel
import ClinicSyncStorage

/// The events of notices.
///
/// Each row of the notices table gives one event on its target nodes.
struct NoticeEvents {
    let rows: ProgramRows

    /// Older notices give no event.
    ///
    /// A node that was away longer gets the information from people.
    private static let noticeMilliseconds: Int64 = 86_400_000
    /// How long the node remembers which notices gave an event, which is longer than the host keeps notices.
    private static let toldMilliseconds: Int64 = 3 * 86_400_000
    /// The largest number of events in one transaction.
    ///
    /// Further notices wait for the next change of the table.
    private static let noticesMax = 100
    /// The largest examined size of a notice's id in bytes.
    private static let idBytesMax = 64

    /// A row of the table with the data for an event.
    private struct Notice {
        /// The stored key, which may have any type, because any program can write it.
        var key: SQLiteValue
        var id: String
        var node: String?
        var user: String?
        var text: String
        var createdAt: Int64
        var createdAtText: String
        var createdBy: String
        var author: String
    }

    /// The events of the notices that `changes` brought.
    ///
    /// The method runs inside the write transaction that changed the table. So each notice gives exactly one event,
    /// even when the process crashes.
    func events(after changes: [ChangeEvent], in transaction: borrowing WriteTransaction) throws -> [NamedEvent] {
        guard changes.contains(where: { $0.table == NoticeTable.name }) else { return [] }
        let now = self.rows.clinicMilliseconds
        var events: [NamedEvent] = []
        for notice in try NoticeEvents.untold(on: transaction.connection) {
            try transaction.statement("INSERT OR IGNORE INTO clinicsync_told (id, at) VALUES (?1, ?2)")
                .bind(1, notice.key)
                .bind(2, now)
                .run()
            if self.isToTell(notice, at: now) { events.append(NoticeEvents.event(notice)) }
        }
        try transaction.statement("DELETE FROM clinicsync_told WHERE at < ?1")
            .bind(1, now - NoticeEvents.toldMilliseconds)
            .run()
        return events
    }

    private static func untold(on connection: Connection) throws -> [Notice] {
        var notices: [Notice] = []
        try connection
            .query(
                """
                SELECT id, node, userId, text, CASE typeof(createdAt) WHEN 'integer' THEN createdAt ELSE 0 END, createdBy,
                    coalesce((SELECT name FROM clinicsync_node WHERE clinicsync_node.id = createdBy), ''),
                    coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', createdAt / 1000.0, 'unixepoch'), '')
                FROM clinicsync_notice AS notice
                WHERE NOT EXISTS (SELECT 1 FROM clinicsync_told WHERE clinicsync_told.id = notice.id)
                ORDER BY createdAt, id LIMIT ?1
                """
            )
            .bind(1, NoticeEvents.noticesMax)
            .forEach { row in
                notices.append(
                    Notice(
                        key: row.value(0),
                        id: row.string(0),
                        node: row.isNull(1) ? nil : row.string(1),
                        user: row.isNull(2) ? nil : row.value(2).displayText,
                        text: row.string(3),
                        createdAt: row.int64(4),
                        createdAtText: row.string(7),
                        createdBy: row.string(5),
                        author: row.string(6)
                    )
                )
            }
        return notices
    }

    /// Returns whether a notice gives an event on this node.
    ///
    /// The notice must be for programs of this node, be new enough, and have a form that the command could have
    /// written. Any program can write the row.
    private func isToTell(_ notice: Notice, at now: Int64) -> Bool {
        guard notice.key == .string(notice.id) else { return false }
        guard notice.node == nil || notice.node == self.rows.origin.node.description else { return false }
        let age = now - NoticeEvents.noticeMilliseconds
        guard notice.createdAt > age, notice.createdAt < now + NoticeEvents.noticeMilliseconds else { return false }
        let names = [notice.id, notice.user ?? "", notice.createdBy, notice.author]
        return NoticeText.isText(notice.text)
            && names.allSatisfy { $0.utf8.count <= NoticeEvents.idBytesMax && !$0.utf8.contains(0) }
    }

    private static func event(_ notice: Notice) -> NamedEvent {
        var fields: [String: EventValue] = [
            "text": .text(notice.text),
            "from": .object(["id": .text(notice.createdBy), "name": .text(notice.author)]),
            "createdAt": .text(notice.createdAtText),
        ]
        if let user = notice.user { fields["userId"] = .text(user) }
        return NamedEvent(
            type: "notice",
            category: notice.user == nil ? .system : .user,
            recordID: notice.id,
            timestamp: HybridTimestamp(milliseconds: notice.createdAt),
            fields: fields
        )
    }
}
