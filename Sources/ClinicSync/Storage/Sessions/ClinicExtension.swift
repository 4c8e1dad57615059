package import ClinicSyncCore
package import ClinicSyncModel

/// What the clinic adds to the store: events of sessions and notices, and requests about logins.
package final class ClinicExtension: StoreExtension {
    /// Makes the extension.
    package init() {}

    package func events(
        after changes: [ChangeEvent],
        rows: ProgramRows,
        in transaction: borrowing WriteTransaction
    ) throws -> [NamedEvent] {
        try SessionEvents(table: SessionTable(rows: rows)).events(after: changes, in: transaction)
            + NoticeEvents(rows: rows).events(after: changes, in: transaction)
    }

    package func reply(to request: StorageRequest, in writer: ReplicaWriter) throws -> StorageReply? {
        if case .decideLogin(let decision) = request { return .loginDecided(decision, try writer.decide(decision)) }
        if case .keepSessions(let hearing, let corrected) = request {
            return .sessionsKept(changes: try writer.keepSessions(hearing: hearing, at: corrected))
        }
        return nil
    }
}
