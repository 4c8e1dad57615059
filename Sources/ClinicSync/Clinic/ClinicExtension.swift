package import ClinicSyncCore
package import ClinicSyncModel
package import ClinicSyncStorage

/// The clinic's additions to a store: logins, the rule of one session per user, and events of sessions and notices.
///
/// The engine replicates rows of any table. Only this target knows the meaning of the rows of users, sessions and
/// notices.
package final class ClinicExtension: StoreExtension {
    /// Makes an extension.
    package init() {}

    /// Returns the events of sessions that began or ended, then the events of arrived notices.
    package func events(
        after changes: [ChangeEvent],
        rows: ProgramRows,
        in transaction: borrowing WriteTransaction
    ) throws -> [NamedEvent] {
        let sessions = try SessionEvents(rows: rows).events(after: changes, in: transaction)
        return try sessions + NoticeEvents(rows: rows).events(after: changes, in: transaction)
    }

    /// Decides logins and enforces the rule of one session per user.
    package func reply(to request: StorageRequest, in writer: ReplicaWriter) throws -> StorageReply? {
        switch request {
        case .decideLogin(let decision):
            let (verdict, collected) = try writer.decide(decision)
            return .loginDecided(decision, verdict, collected)
        case .keepSessions(let hearing, let members, let corrected):
            let (changes, collected) = try writer.keepSessions(isMajority: hearing * 2 > members, at: corrected)
            return .sessionsKept(changes: changes, collected)
        default:
            return nil
        }
    }
}
