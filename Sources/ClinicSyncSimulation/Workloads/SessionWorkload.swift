import ClinicSyncCore
import ClinicSyncModel
import GRDB

/// Users log in on any PC, with and without force, through the node or by rows of programs, and log out again.
///
/// In the end a user has at most one session, and every granted session has its row. No session has expired, whatever
/// the clocks did.
final class SessionWorkload: SimulationWorkload {
    private static let users = ["u-ana", "u-ben", "u-cleo"]

    private var last = 0
    private var requests: [RequestID: String] = [:]
    private weak var world: SimulatedWorld?

    func step(_ program: SimulatedProgram) throws {
        self.world = program.world
        self.last += 1
        let user = SessionWorkload.users[program.below(SessionWorkload.users.count)]
        let session = "s-\(program.node.name)-\(self.last)"
        switch program.below(10) {
        case 0...1: try self.addUsers(program)
        case 2...6:
            guard program.node.isRunning, !program.node.isStopping else { return }
            let request = try program.world.requestLogin(
                at: program.node.index,
                session: session,
                user: user,
                isForced: program.chance(40)
            )
            self.requests[request] = session
        case 7: try self.writeSession(session, of: user, program)
        default: try self.logOut(user, program)
        }
    }

    private func addUsers(_ program: SimulatedProgram) throws {
        try program.transaction("adds users") { db in
            for user in SessionWorkload.users {
                try db.execute(
                    sql: "INSERT OR IGNORE INTO users(id, fullName, isActive) VALUES(?, 'Name', 1)",
                    arguments: [user]
                )
            }
        }
    }

    /// The writes of a program that does not use the node's API.
    ///
    /// The session lasts a week, so that no clock of the run ends it: clocks are wrong by up to a working day.
    private func writeSession(_ session: String, of user: String, _ program: SimulatedProgram) throws {
        let wall = Double(program.node.clock.milliseconds) / 1_000
        try program.transaction("writes \(session)") { db in
            try db.execute(
                sql: """
                    INSERT INTO user_sessions(id, userId, username, deviceId, deviceName, loginTime, lastActivity, expiresAt,
                        sessionToken)
                    SELECT ?1, id, id, ?2, ?2, strftime('%Y-%m-%dT%H:%M:%fZ', ?3, 'unixepoch'),
                        strftime('%Y-%m-%dT%H:%M:%fZ', ?3, 'unixepoch'),
                        strftime('%Y-%m-%dT%H:%M:%fZ', ?3 + 604800, 'unixepoch'), 'hash'
                    FROM users WHERE id = ?4
                    """,
                arguments: [session, "PC-\(program.node.name)", wall, user]
            )
        }
    }

    private func logOut(_ user: String, _ program: SimulatedProgram) throws {
        try program.transaction("logs \(user) out") { db in
            try db.execute(
                sql: "UPDATE user_sessions SET isActive = 0, endReason = 'logout' WHERE userId = ? AND isActive = 1",
                arguments: [user]
            )
        }
    }

    func checkFinally(_ node: SimulatedNode) throws -> String? {
        try node.disk.read { db in
            if let user = try String.fetchOne(
                db,
                sql: "SELECT userId FROM user_sessions WHERE isActive <> 0 GROUP BY userId HAVING count(*) > 1"
            ) {
                return "\(node.name) shows two sessions of \(user)"
            }
            if let session = try String.fetchOne(db, sql: "SELECT id FROM user_sessions WHERE endReason = 'expired'") {
                return "\(session) expired on \(node.name) within seconds"
            }
            for (request, session) in self.requests.sorted(by: { $0.key < $1.key }) {
                guard case .some(.granted) = self.world?.logins[request] else { continue }
                let isThere = try Bool.fetchOne(
                    db,
                    sql: "SELECT count(*) FROM user_sessions WHERE id = ?",
                    arguments: [session]
                )
                if isThere != true { return "\(session) was granted and is not on \(node.name)" }
            }
            return nil
        }
    }
}
