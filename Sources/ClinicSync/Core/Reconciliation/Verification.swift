import ClinicSyncModel

/// A client's part in a manual sync: sweep, collect, reconcile, report.
struct Verification: Sendable, Hashable {
    /// The stage of a verification.
    enum Stage: Sendable, Hashable {
        /// The store sweeps. Entered with the host's request. Can transition to `queued`.
        case sweeping
        /// The sweep is done and its rows are collected; a round in progress must end first. Can transition to
        /// `reconciling`.
        case queued
        /// The verification's round is in progress. The verification ends with it.
        case reconciling
    }

    /// The host's request.
    let request: SyncRequest
    /// The connection to answer on.
    let connection: ConnectionID
    /// The stage.
    var stage: Stage = .sweeping
    /// Rows that the sweep collected as local edits.
    var escaped = 0
    /// Rows that are too large to be sent.
    var unsent = 0

    /// The answer to the host at the end of the round.
    ///
    /// Rows that had escaped are equal now and were not before, so the host must make another pass.
    func report(_ outcome: RoundStateMachine.Outcome) -> VerifyReport {
        let result = self.unsent > 0 ? .differs : outcome.result ?? .differs
        return VerifyReport(
            id: self.request.id,
            result: result == .equal && self.escaped > 0 ? .repaired : result,
            repairedRows: Bounds.rows(outcome.repairedRows, and: self.escaped)
        )
    }
}

/// Bounds what the store works on for one peer's reconciliation.
struct ReconciliationQuota: Sendable, Hashable {
    private var questions = 0
    private var pages = 0

    /// A peer asked a question.
    ///
    /// - Returns: Whether the question is within the limit.
    mutating func beginQuestion() -> Bool {
        self.questions += 1
        return self.questions <= CoreLimits.questionsMax
    }

    /// The store answered a question.
    mutating func endQuestion() { self.questions -= 1 }

    /// A peer sent a page of rows.
    ///
    /// - Returns: Whether the page is within the limit.
    mutating func beginPage() -> Bool {
        self.pages += 1
        return self.pages <= CoreLimits.repairPagesMax
    }

    /// The store merged a page, or no merge is wanted.
    mutating func endPage() { self.pages -= 1 }
}
