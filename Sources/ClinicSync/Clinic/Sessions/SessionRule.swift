import ClinicSyncModel
import ClinicSyncStorage

/// The rule of one session per user: which sessions break the rule, and which changes restore it.
struct SessionRule {
    /// A session with the version of its login; `nil` when the login is not collected yet.
    typealias Login = (row: SessionRow, login: Version?)

    let table: SessionTable

    /// Ends and confirms sessions as the rule requires, in the same transaction as the check.
    ///
    /// - Returns: The number of ended or confirmed sessions.
    /// - Throws: SQLite's errors.
    func restore(isMajority: Bool, at now: Int64, in transaction: borrowing WriteTransaction) throws -> Int {
        let actions = try self.actions(isMajority: isMajority, at: now, on: transaction.connection)
        for (session, reason) in actions {
            if let reason {
                try self.table.end(session, reason, at: now, in: transaction)
            } else {
                try self.table.setProvisional(session.id, false, in: transaction)
            }
        }
        return actions.count
    }

    /// Returns the sessions that must end, with the reason.
    ///
    /// The result also contains, without a reason, the sessions that a host which hears most nodes confirms.
    func actions(isMajority: Bool, at now: Int64, on connection: Connection) throws -> [(SessionRow, SessionEnd?)] {
        var actions: [(SessionRow, SessionEnd?)] = []
        var lasting: [SQLiteValue: [Login]] = [:]
        for session in try SessionTable.known(on: connection) {
            if try !SessionTable.mayLogIn(session.userID, on: connection) {
                actions.append((session, .admin))
            } else if try self.table.expiry(of: session, now: now, on: connection) <= now {
                actions.append((session, .expired))
            } else {
                let login = try self.table.loginVersion(of: session, on: connection)
                lasting[session.userID, default: []].append((session, login))
            }
        }
        for sessions in lasting.values.sorted(by: { $0[0].row.id.sortsBefore($1[0].row.id) }) {
            let latest = sessions.max { SessionRule.isEarlier($0, $1) }
            for (session, _) in sessions {
                if session.id != latest?.row.id {
                    actions.append((session, .superseded))
                } else if isMajority, session.isProvisional {
                    actions.append((session, nil))
                }
            }
        }
        return actions
    }

    /// Returns whether the `left` login was before the `right` login, by the clinic's time.
    static func isEarlier(_ left: Login, _ right: Login) -> Bool {
        switch (left.login, right.login) {
        case (let one?, let other?): one != other ? one < other : left.row.id.sortsBefore(right.row.id)
        // A login that is not collected yet was written a moment ago.
        case (nil, _?): false
        case (_?, nil): true
        case (nil, nil):
            left.row.loginTime != right.row.loginTime
                ? left.row.loginTime < right.row.loginTime : left.row.id.sortsBefore(right.row.id)
        }
    }
}
