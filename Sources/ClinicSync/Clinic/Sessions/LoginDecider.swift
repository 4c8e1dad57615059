import ClinicSyncModel
import ClinicSyncStorage

/// Decides on one login inside a write transaction.
struct LoginDecider {
    let table: SessionTable
    /// Whether this node hears more than half of the clinic's nodes.
    let isMajority: Bool

    /// Decides on a login, and writes the resulting rows.
    ///
    /// - Parameters:
    ///   - request: the login.
    ///   - now: the clinic's time.
    ///   - transaction: the transaction.
    /// - Returns: The decision. Only a granted login has written rows.
    /// - Throws: SQLite's errors.
    func decide(
        _ request: LoginRequest,
        at now: Int64,
        in transaction: borrowing WriteTransaction
    ) throws -> LoginOutcome {
        let connection = transaction.connection
        if let known = try SessionTable.session(.string(request.sessionID), on: connection) {
            // The login was granted and its session has ended meanwhile. So the login is over, not refused.
            return known.isActive ? .granted(isProvisional: known.isProvisional) : .unavailable
        }
        guard try SessionTable.mayLogIn(request.userID, on: connection) else { return .refused }
        var ending: [(SessionRow, SessionEnd)] = []
        var holders: [SessionRow] = []
        for session in try SessionTable.active(ofUser: request.userID, on: connection) {
            if try self.table.expiry(of: session, now: now, on: connection) <= now {
                ending.append((session, .expired))
            } else if session.deviceID == .string(request.deviceID) {
                ending.append((session, .superseded))
            } else {
                holders.append(session)
            }
        }
        guard holders.isEmpty || request.isForced else {
            return .conflict(holders.prefix(SessionHolder.countMax).map { $0.holder.cut })
        }
        ending += holders.map { ($0, .forcedLogin) }
        for (session, reason) in ending { try self.table.end(session, reason, at: now, in: transaction) }
        try self.table.begin(request, in: transaction)
        if !self.isMajority { try self.table.setProvisional(.string(request.sessionID), true, in: transaction) }
        return .granted(isProvisional: !self.isMajority)
    }
}
