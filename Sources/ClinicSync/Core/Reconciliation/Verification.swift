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

    /// The host's newest request.
    var request: SyncRequest
    /// The request for which the store sweeps or has swept.
    let sweep: SyncRequest
    /// The connection to answer on.
    var connection: ConnectionID
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

/// What one peer may ask and send in reconciliation: bounds what the store works on for the peer, and remembers what was asked.
struct ReconciliationQuota: Sendable, Hashable {
    /// What becomes of a page of rows.
    enum Admission: Sendable, Hashable {
        /// The store may work on it.
        case admitted
        /// The store has enough to do for the peer: the page is not merged.
        case dropped
        /// The peer is at fault.
        case refused
    }

    /// What a client asks about.
    private struct Question: Sendable, Hashable {
        let round: UInt64
        let table: String
        let range: KeyRange
    }

    private var questions = 0
    private var pages = 0
    private var bytes = 0
    /// The client's newest page of hashes or ranges: this node compares it and takes rows of its range.
    private var question: Question?
    /// The newest comparison of the client's tables with this node's.
    private(set) var comparison: PeerComparison?

    /// The client's tables were compared with this node's, at equal vectors.
    mutating func compared(isEqual: Bool, at now: Now) {
        guard self.comparison != nil else {
            self.comparison = PeerComparison(isEqual: isEqual, at: now)
            return
        }
        self.comparison?.add(isEqual: isEqual, at: now)
    }

    /// A peer asked a question.
    ///
    /// - Returns: Whether the question is within the limit.
    mutating func beginQuestion() -> Bool {
        self.questions += 1
        return self.questions <= CoreLimits.questionsMax
    }

    /// The store answered a question.
    mutating func endQuestion() { self.questions -= 1 }

    /// A client asks about keys of a table: from now on it may send rows of this range.
    mutating func ask(round: UInt64, table: String, range: KeyRange) {
        self.question = Question(round: round, table: table, range: range)
        self.comparison?.add(table)
    }

    /// The range of the client's question to which a page of rows belongs; `nil` when nobody asked for the page.
    func range(of page: RowStatePage) -> KeyRange? {
        guard let question = self.question, question.round == page.round, question.table == page.table else {
            return nil
        }
        return question.range
    }

    /// A peer sent a page of rows; ``endPage(_:)`` must follow unless it is refused.
    mutating func beginPage(_ page: RowStatePage) -> Admission {
        self.pages += 1
        self.bytes += page.payload.count
        if self.pages > CoreLimits.repairPagesMax { return .refused }
        // One page is always admitted, whatever its size.
        return self.pages > 1 && self.bytes > CoreLimits.repairBytesMax ? .dropped : .admitted
    }

    /// The store merged a page, or no merge is wanted.
    mutating func endPage(_ page: RowStatePage) {
        self.pages -= 1
        self.bytes -= page.payload.count
    }
}
