import ClinicSyncModel
import ClinicSyncStorage

/// The events of sessions, derived from the rows, so that the author of the rows does not matter.
///
/// `clinicsync_session` holds the sessions that programs of this PC know as active. When this table and the table of
/// sessions differ after a change, a session began or ended. The difference gives one event, regardless of the number
/// of writes.
struct SessionEvents {
    let rows: ProgramRows

    private var table: SessionTable { SessionTable(rows: self.rows) }

    /// Returns the events of sessions that began in conflict with another session, and of sessions that ended.
    ///
    /// The method runs inside the write transaction of the changes.
    func events(after changes: [ChangeEvent], in transaction: borrowing WriteTransaction) throws -> [NamedEvent] {
        var events: [NamedEvent] = []
        for change in changes where change.table == SessionTable.name {
            let ids = try change.recordID.map { [$0] } ?? SessionEvents.allIDs(on: transaction.connection)
            for id in ids {
                if let event = try self.event(of: id, after: change, in: transaction) { events.append(event) }
            }
        }
        return events
    }

    private static func allIDs(on connection: Connection) throws -> [SQLiteValue] {
        var ids: [SQLiteValue] = []
        try connection
            .query(
                "SELECT id FROM clinicsync_session UNION SELECT s.id FROM user_sessions AS s WHERE \(SessionRow.isActive)"
            )
            .forEach { ids.append($0.value(0)) }
        return ids
    }

    /// A session that programs know as active, with the data that an event needs after the row is gone.
    private struct KnownSession {
        var id: SQLiteValue
        var userID: SQLiteValue
        var username: String
        var deviceID: SQLiteValue
        var deviceName: String

        init(_ row: Statement) {
            self.id = row.value(0)
            self.userID = row.value(1)
            self.username = row.string(2)
            self.deviceID = row.value(3)
            self.deviceName = row.string(4)
        }

        init(_ row: SessionRow) {
            self.id = row.id
            self.userID = row.userID
            self.username = row.username
            self.deviceID = row.deviceID
            self.deviceName = row.deviceName
        }

        var fields: [String: EventValue] {
            [
                "userId": .text(self.userID.displayText), "username": .text(self.username),
                "deviceId": .text(self.deviceID.displayText), "deviceName": .text(self.deviceName),
            ]
        }
    }

    private func event(
        of id: SQLiteValue,
        after change: ChangeEvent,
        in transaction: borrowing WriteTransaction
    ) throws -> NamedEvent? {
        let known = try transaction.connection
            .query("SELECT id, userId, username, deviceId, deviceName FROM clinicsync_session WHERE id = ?1")
            .bind(1, id)
            .first { KnownSession($0) }
        let row = try SessionTable.session(id, on: transaction.connection)
        switch (known, row) {
        case (nil, let row?) where row.isActive:
            return try self.began(row, after: change, in: transaction)
        case (let known?, let row) where row?.isActive != true:
            return try self.ended(known, row: row, after: change, in: transaction)
        default:
            return nil
        }
    }

    private func began(
        _ row: SessionRow,
        after change: ChangeEvent,
        in transaction: borrowing WriteTransaction
    ) throws -> NamedEvent? {
        let now = change.timestamp.milliseconds
        let session = KnownSession(row)
        // When two sessions arrive together, only the second conflicts with the other.
        let known = try SessionTable.known(ofUser: row.userID, on: transaction.connection)
        var others: [SessionRow] = []
        for other in known where other.deviceID != row.deviceID {
            let expiry = try self.table.expiry(of: other, now: now, on: transaction.connection)
            if expiry > now { others.append(other) }
        }
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_session (id, userId, username, deviceId, deviceName) VALUES (?1, ?2, ?3, ?4, ?5)
                """
            )
            .bind(1, session.id)
            .bind(2, session.userID)
            .bind(3, text: session.username)
            .bind(4, session.deviceID)
            .bind(5, text: session.deviceName)
            .run()
        guard !others.isEmpty else { return nil }
        var fields = session.fields
        fields["with"] = .list(others.map { $0.holder.eventValue })
        return NamedEvent(
            type: "session_conflict",
            category: .user,
            recordID: session.id.displayText,
            timestamp: change.timestamp,
            fields: fields
        )
    }

    private func ended(
        _ session: KnownSession,
        row: SessionRow?,
        after change: ChangeEvent,
        in transaction: borrowing WriteTransaction
    ) throws -> NamedEvent {
        try transaction.statement("DELETE FROM clinicsync_session WHERE id = ?1").bind(1, session.id).run()
        // A deleted row counts as an administrator's action. An end reason in a program's own words counts as a logout,
        // because a person is at that program.
        let reason = row == nil ? .admin : row?.endReason.flatMap { SessionEnd(rawValue: $0) } ?? .logout
        var fields = session.fields
        fields["reason"] = .text(reason.rawValue)
        fields["by"] = try self.cause(of: reason, of: session, change, on: transaction.connection)
        return NamedEvent(
            type: "session_ended",
            category: .user,
            recordID: session.id.displayText,
            timestamp: change.timestamp,
            fields: fields
        )
    }

    /// Returns the PC that ended the session: the PC of the replacing login, otherwise the PC that made the change.
    private func cause(
        of reason: SessionEnd,
        of session: KnownSession,
        _ change: ChangeEvent,
        on connection: Connection
    ) throws -> EventValue {
        switch reason {
        case .forcedLogin, .superseded:
            let successors = try SessionTable.active(ofUser: session.userID, on: connection).map {
                (row: $0, login: try self.table.loginVersion(of: $0, on: connection))
            }
            guard let latest = successors.max(by: { SessionRule.isEarlier($0, $1) }) else { return .null }
            return .object([
                "deviceId": .text(latest.row.deviceID.displayText), "deviceName": .text(latest.row.deviceName),
                "sessionId": .text(latest.row.id.displayText),
            ])
        case .logout, .expired, .admin:
            guard let node = change.batch?.origin.node.description else { return .null }
            let name = try connection.query("SELECT name FROM clinicsync_node WHERE id = ?1")
                .bind(1, text: node)
                .first { $0.string(0) }
            return .object(["deviceId": .text(node), "deviceName": .text(name ?? "")])
        }
    }
}
