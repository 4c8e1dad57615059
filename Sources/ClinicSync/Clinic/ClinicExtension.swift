package import ClinicSyncCore
package import ClinicSyncModel
package import ClinicSyncStorage

/// What the clinic's tables add to a store: logins and the rule of one session a user, and the events of sessions and notices.
///
/// The engine moves rows of any table. Only this target knows what the rows of users, sessions and notices mean.
package final class ClinicExtension: StoreExtension {
    /// Makes an extension.
    package init() {}

    /// The events of sessions that began or ended, then the notices that arrived.
    package func events(
        after changes: [ChangeEvent],
        rows: ProgramRows,
        in transaction: borrowing WriteTransaction
    ) throws -> [NamedEvent] {
        let sessions = try SessionEvents(rows: rows).events(after: changes, in: transaction)
        return try sessions + NoticeEvents(rows: rows).events(after: changes, in: transaction)
    }

    /// Decides logins and keeps the rule of one session a user.
    package func reply(to request: StorageRequest, in writer: ReplicaWriter) throws -> StorageReply? {
        switch request {
        case .decideLogin(let decision):
            let (verdict, collected) = try writer.decide(decision)
            return .loginDecided(decision, verdict, collected)
        case .keepSessions(let hearing, let corrected):
            let (changes, collected) = try writer.keepSessions(hearing: hearing, at: corrected)
            return .sessionsKept(changes: changes, collected)
        default:
            return nil
        }
    }
}
