import ClinicSyncModel
import ClinicSyncStorage

/// The events of notices: each row of the table of notices gives the nodes that it is for one event.
struct NoticeEvents {
    let rows: ProgramRows

    /// Notices older than this give no event: a node that was away longer relies on people.
    private static let noticeMilliseconds: Int64 = 86_400_000
    /// How long the node remembers which notices gave an event; longer than the host keeps them.
    private static let toldMilliseconds: Int64 = 3 * 86_400_000
    /// Events of one transaction; further notices wait for the next change of the table.
    private static let noticesMax = 100
    /// Bytes of a notice's id that are looked at.
    private static let idBytesMax = 64

    /// A row of the table with what an event needs.
    private struct Notice {
        /// As it is stored: any program can write it.
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
    /// Runs inside the write transaction that changed the table, so that each notice gives one event, whatever happens to the
    /// process.
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
                        user: row.isNull(2) ? nil : row.string(2),
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

    /// Whether the notice is for programs of this node, new enough, and such as the command could have written: any program can
    /// write the row.
    private func isToTell(_ notice: Notice, at now: Int64) -> Bool {
        guard notice.key == .string(notice.id) else { return false }
        guard notice.node == nil || notice.node == self.rows.origin.node.description else { return false }
        let age = now - NoticeEvents.noticeMilliseconds
        guard notice.createdAt > age, notice.createdAt < now + NoticeEvents.noticeMilliseconds else { return false }
        let names = [notice.id, notice.user ?? "", notice.createdBy, notice.author]
        return NoticeText.isText(notice.text) && names.allSatisfy { $0.utf8.count <= NoticeEvents.idBytesMax }
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
