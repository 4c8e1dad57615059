package import ClinicSyncCore
package import ClinicSyncStorage

// Logins at the host, and the rule of one session per user.
extension ReplicaWriter {
    // MARK: - Logging in

    /// Decides on a login and writes its rows, in one transaction, so that two conflicting logins can never both be
    /// granted.
    ///
    /// The transaction writes the rows and logs them as a batch of this node. The transaction is on the disk when this
    /// method returns. So the rows can leave with the answer, and after a crash either all of them exist or none.
    ///
    /// A request that was granted before is granted again. Without `isForced`, active sessions of the user on other PCs
    /// block the login. Sessions of the same PC never block it, because a program that crashed logs in again. A host
    /// that hears half of the clinic's nodes or less grants a provisional session: it cannot know whether another host
    /// grants the same login.
    ///
    /// - Returns: The decision and the collected batch.
    /// - Throws: ``StoreError``; then nothing was written.
    package func decide(_ decision: LoginDecision) throws -> (LoginVerdict, CollectOutcome) {
        let isMajority = decision.hearing * 2 > decision.members
        if !isMajority, decision.mayWait { return (.tooEarly, self.nothingCollected) }
        let (outcome, collected) = try self.writeOwnBatch { rows, transaction in
            try LoginDecider(table: SessionTable(rows: rows), isMajority: isMajority)
                .decide(decision.request, at: decision.correctedMilliseconds, in: transaction)
        }
        return (.decided(outcome, members: decision.members), collected)
    }

    // MARK: - The rule

    /// Ends all sessions that the rule of one session per user forbids, whoever wrote them.
    ///
    /// The method ends all but the latest login of each user, expired sessions, and sessions of deactivated or deleted
    /// users. Only the host calls this method. The result depends only on the merged rows, so two hosts that both call
    /// it do no harm.
    ///
    /// - Parameters:
    ///   - isMajority: whether this host hears more than half of the clinic's members.
    ///   - now: the clinic's time.
    /// - Returns: The number of ended or confirmed sessions, and the collected batch.
    /// - Throws: ``StoreError``; then nothing was written.
    package func keepSessions(isMajority: Bool, at now: Int64) throws -> (changes: Int, CollectOutcome) {
        // A program may have dropped or renamed a table: then there is nothing to keep.
        guard self.hasTable(SessionTable.name), self.hasTable("users") else { return (0, self.nothingCollected) }
        let broken = try self.read { rows, connection in
            try SessionRule(table: SessionTable(rows: rows)).actions(isMajority: isMajority, at: now, on: connection)
        }
        guard !broken.isEmpty else { return (0, self.nothingCollected) }
        return try self.writeOwnBatch { rows, transaction in
            try SessionRule(table: SessionTable(rows: rows)).restore(isMajority: isMajority, at: now, in: transaction)
        }
    }
}
