package import ClinicSyncCore
package import ClinicSyncStorage

// Logins at the host, and the rule of one session a user.
extension ReplicaWriter {
    // MARK: - Logging in

    /// Decides on a login and writes what follows from it, in one transaction: of two nobody can be granted both.
    ///
    /// The transaction writes the rows and logs them as a batch of this node, and it is on the disk when this returns. So the rows
    /// can leave with the answer, and after a crash there is either all of it or nothing.
    ///
    /// A request that was granted before is granted again. Without `isForced`, active sessions of the user on other PCs are in
    /// the way; those of the same PC never are, since a program that crashed logs in again. A host that hears half of the clinic's
    /// nodes or less grants a provisional session: it cannot know whether another host grants the same.
    ///
    /// - Returns: What was decided, and what was collected.
    /// - Throws: ``StoreError``; nothing was written then.
    package func decide(_ decision: LoginDecision) throws -> (LoginVerdict, CollectOutcome) {
        let members = try self.read { _, connection in try SessionTable.members(on: connection) }
        let isMajority = decision.hearing * 2 > members
        if !isMajority, decision.mayWait { return (.tooEarly, self.nothingCollected) }
        let (outcome, collected) = try self.writeOwnBatch { rows, transaction in
            try LoginDecider(table: SessionTable(rows: rows), isMajority: isMajority)
                .decide(decision.request, at: decision.correctedMilliseconds, in: transaction)
        }
        return (.decided(outcome, members: members), collected)
    }

    // MARK: - The rule

    /// Ends what the rule of one session a user does not allow, whoever wrote it: all but the latest login of a user, sessions
    /// that have expired, and those of users that are deactivated or gone.
    ///
    /// For the host alone. A function of the merged rows, so that two hosts that do the same do no harm.
    ///
    /// - Returns: How many sessions were ended or confirmed, and what was collected.
    /// - Throws: ``StoreError``; nothing was written then.
    package func keepSessions(hearing: Int, at now: Int64) throws -> (changes: Int, CollectOutcome) {
        let broken = try self.read { rows, connection in
            try SessionRule(table: SessionTable(rows: rows)).actions(hearing: hearing, at: now, on: connection)
        }
        guard !broken.isEmpty else { return (0, self.nothingCollected) }
        return try self.writeOwnBatch { rows, transaction in
            try SessionRule(table: SessionTable(rows: rows)).restore(hearing: hearing, at: now, in: transaction)
        }
    }
}
