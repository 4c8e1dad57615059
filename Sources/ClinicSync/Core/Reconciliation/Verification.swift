import ClinicSyncModel

/// A client's part in a manual sync: sweep, collect, reconcile, report.
struct Verification: Sendable, Hashable {
    /// How far it has come.
    enum Stage: Sendable, Hashable {
        /// The store sweeps. Can transition to `queued`.
        case sweeping
        /// Swept and collected; another round may have to end first. Can transition to `reconciling`.
        case queued
        /// The round is in progress; its end is the end of the verification.
        case reconciling
    }

    /// The host's request.
    let request: SyncRequest
    /// The connection to answer on.
    let connection: ConnectionID
    /// How far it has come.
    var stage: Stage = .sweeping
    /// Rows the sweep took as local edits.
    var escaped = 0
    /// Rows that no exchange can bring to the others.
    var unsent = 0

    /// The answer to the host when the round ended with `outcome`.
    ///
    /// Rows that had escaped are equal now but were not before, so the host must make another pass.
    func report(_ outcome: ReconciliationStateMachine.Outcome) -> VerifyReport {
        let result = self.unsent > 0 ? .differs : outcome.result ?? .differs
        return VerifyReport(
            id: self.request.id,
            result: result == .equal && self.escaped > 0 ? .repaired : result,
            repairedRows: outcome.repairedRows + UInt64(self.escaped)
        )
    }
}

/// What the store works on for one client's reconciliation, so that it stays bounded.
struct ReconciliationQuota: Sendable, Hashable {
    private var questions = 0
    private var pages = 0

    /// Takes note of a question.
    ///
    /// - Returns: Whether it is one of few.
    mutating func beginQuestion() -> Bool {
        self.questions += 1
        return self.questions <= CoreLimits.questionsMax
    }

    /// Takes note of the answer.
    mutating func endQuestion() { self.questions -= 1 }

    /// Takes note of a page to be merged.
    ///
    /// - Returns: Whether it is within the bounds.
    mutating func beginPage() -> Bool {
        self.pages += 1
        return self.pages <= CoreLimits.repairPagesMax
    }

    /// Takes note that the page is merged.
    mutating func endPage() { self.pages -= 1 }
}
