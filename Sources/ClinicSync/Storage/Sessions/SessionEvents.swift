import ClinicSyncModel

/// Derives the events of sessions from the rows, so that it does not matter who wrote them.
///
/// `clinicsync_session` holds the sessions that programs of this PC know as active. Where it and `user_sessions` differ after a
/// change, a session began or ended. The difference makes one event, whatever the number of writes that made it.
struct SessionEvents {
    let table: SessionTable

    /// The events of sessions that began in the way of another, and of sessions that ended.
    func events(after changes: [ChangeEvent], in transaction: borrowing WriteTransaction) throws -> [NamedEvent] {
        var events: [NamedEvent] = []
        for change in changes where change.table == "user_sessions" {
            let ids = try change.recordID.map { [$0] } ?? self.allSessionIDs(in: transaction)
            for id in ids { try self.settle(id, after: change, events: &events, in: transaction) }
        }
        return events
    }

    private func allSessionIDs(in transaction: borrowing WriteTransaction) throws -> [String] {
        var ids: [String] = []
        try transaction
            .statement("SELECT id FROM clinicsync_session UNION SELECT id FROM user_sessions WHERE isActive <> 0")
            .forEach { ids.append($0.string(0)) }
        return ids
    }

    /// A session that programs know as lasting.
    private struct KnownSession {
        var id: String
        var userID: String
        var username: String
        var deviceID: String
        var deviceName: String

        init(_ row: Statement) {
            self.id = row.string(0)
            self.userID = row.string(1)
            self.username = row.string(2)
            self.deviceID = row.string(3)
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
                "userId": .text(self.userID), "username": .text(self.username), "deviceId": .text(self.deviceID),
                "deviceName": .text(self.deviceName),
            ]
        }
    }

    private func settle(
        _ id: String,
        after change: ChangeEvent,
        events: inout [NamedEvent],
        in transaction: borrowing WriteTransaction
    ) throws {
        let known =
            try transaction
            .statement("SELECT id, userId, username, deviceId, deviceName FROM clinicsync_session WHERE id = ?1")
            .bind(1, text: id)
            .first { KnownSession($0) }
        let row = try self.table.session(id, on: transaction.connection)
        switch (known, row) {
        case (nil, let row?) where row.isActive:
            try self.began(row, after: change, events: &events, in: transaction)
        case (let known?, let row) where row?.isActive != true:
            try self.ended(known, row: row, after: change, events: &events, in: transaction)
        default: break
        }
    }

    private func began(
        _ row: SessionRow,
        after change: ChangeEvent,
        events: inout [NamedEvent],
        in transaction: borrowing WriteTransaction
    ) throws {
        let now = change.timestamp.milliseconds
        let session = KnownSession(row)
        // Of two that came together, only the second is in the way of the other.
        let others = try self.table.activeSessions(
            "s.userId = ?1 AND s.id IN (SELECT id FROM clinicsync_session)",
            row.userID,
            on: transaction.connection
        )
        .filter { $0.deviceID != row.deviceID }
        .filter { try self.table.expiry(of: $0, now: now, on: transaction.connection) > now }
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_session (id, userId, username, deviceId, deviceName) VALUES (?1, ?2, ?3, ?4, ?5)
                """
            )
            .bind(1, text: session.id)
            .bind(2, text: session.userID)
            .bind(3, text: session.username)
            .bind(4, text: session.deviceID)
            .bind(5, text: session.deviceName)
            .run()
        guard !others.isEmpty else { return }
        var fields = session.fields
        fields["with"] = .list(others.map { SessionEvents.value(of: $0) })
        events.append(
            NamedEvent(
                type: "session_conflict",
                category: .user,
                recordID: session.id,
                timestamp: change.timestamp,
                fields: fields
            )
        )
    }

    private func ended(
        _ session: KnownSession,
        row: SessionRow?,
        after change: ChangeEvent,
        events: inout [NamedEvent],
        in transaction: borrowing WriteTransaction
    ) throws {
        try transaction.statement("DELETE FROM clinicsync_session WHERE id = ?1").bind(1, text: session.id).run()
        // A program that deletes a row, or ends a session in words of its own, does so for somebody who is there.
        let reason = row == nil ? .admin : row?.endReason.flatMap { SessionEnd(rawValue: $0) } ?? .logout
        var fields = session.fields
        fields["reason"] = .text(reason.rawValue)
        fields["by"] = try self.cause(of: reason, of: session, change, in: transaction)
        events.append(
            NamedEvent(
                type: "session_ended",
                category: .user,
                recordID: session.id,
                timestamp: change.timestamp,
                fields: fields
            )
        )
    }

    /// The PC at which the session was ended: that of the login that took its place, else the one whose change it was.
    private func cause(
        of reason: SessionEnd,
        of session: KnownSession,
        _ change: ChangeEvent,
        in transaction: borrowing WriteTransaction
    ) throws -> EventValue {
        let connection = transaction.connection
        switch reason {
        case .forcedLogin, .superseded:
            let successors = try self.table.activeSessions("s.userId = ?1", session.userID, on: connection).map {
                (row: $0, login: try self.table.loginVersion(of: $0, on: connection))
            }
            guard let latest = successors.max(by: { SessionTable.isEarlier($0, $1) }) else { return .null }
            return .object([
                "deviceId": .text(latest.row.deviceID), "deviceName": .text(latest.row.deviceName),
                "sessionId": .text(latest.row.id),
            ])
        case .logout, .expired, .admin:
            guard let node = change.batch?.origin.node.description else { return .null }
            let name = try transaction.statement("SELECT name FROM clinicsync_node WHERE id = ?1")
                .bind(1, text: node)
                .first { $0.string(0) }
            return .object(["deviceId": .text(node), "deviceName": .text(name ?? "")])
        }
    }

    /// A session in the way of another, as an event tells of it.
    private static func value(of session: SessionRow) -> EventValue {
        .object([
            "sessionId": .text(session.id), "deviceId": .text(session.deviceID),
            "deviceName": .text(session.deviceName), "loginTime": .text(session.loginTime),
            "lastActivity": .text(session.lastActivity),
        ])
    }
}
