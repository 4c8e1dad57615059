/// What programs and people can ask of a running node.
///
/// The runtime implements it; the local API serves it. Every method throws ``ClinicSyncError`` with a
/// sentence for people.
package protocol NodeControl: Sendable {
    /// Who the node is and how it is doing.
    func status() async throws -> NodeStatus

    /// Rows and digests computed from the real tables, of one table or all.
    func digest(table: String?) async throws -> DigestSummary

    /// Proves that all reachable nodes are equal, repairing what is not, within `timeout`.
    func sync(table: String?, timeout: Duration) async throws -> SyncSummary

    /// The members of the clinic.
    func nodes() async throws -> NodesSummary

    /// Sends a member away for good; named by its id, the beginning of it, or its name.
    func revoke(node: String) async throws

    /// Gives a member the right to sign.
    func grant(node: String) async throws

    /// Gives a member another name, on every PC.
    func rename(node: String, to name: String) async throws

    /// Lets a member be host in the present host's place.
    func transferHost(to node: String) async throws

    /// Makes a join code that is good for `uses` joins within `ttl`.
    func invite(ttl: Duration, uses: Int) async throws -> String

    /// Where the events of the node come from.
    var eventSource: EventBroadcaster { get }

    /// Committed changes from now on, or from a position on.
    func events(_ filter: EventFilter) async throws -> EventSubscription

    // MARK: - Conflicts and the dashboard

    /// The newest entries of the conflict journal.
    func conflicts(_ filter: ConflictFilter) async throws -> ConflictsSummary

    /// One entry of the conflict journal with whole values, by the beginning of its id.
    func conflict(_ id: String) async throws -> ConflictSummary

    /// Deals with an entry of the conflict journal; the entry as it is afterwards.
    func resolve(conflict id: String, _ decision: ConflictDecision) async throws -> ConflictSummary

    /// Who wrote what in a row, named as `TABLE/PK`, or in one column of it, named as `TABLE/PK/COLUMN`.
    func why(_ path: String) async throws -> WhySummary

    /// Round trips of the last hour.
    func latency() async throws -> LatencySummary

    /// What Prometheus is told.
    func metrics() async throws -> NodeMetrics

    // MARK: - Sessions

    /// Sessions that last, or all.
    func sessions(onlyActive: Bool) async throws -> SessionsSummary

    /// Logs somebody in.
    func login(_ input: LoginInput) async throws -> LoginResult

    /// Ends a session: a logout when it is one of this PC, else an administrator's act.
    func endSession(_ id: String) async throws

    /// Ends all sessions of a user, named by its name or its key; how many there were.
    func endSessions(of username: String) async throws -> Int

    /// Notes that the user of a session did something.
    func touchSession(_ id: String) async throws

    /// Removes sessions that ended longer ago than `age`; how many.
    func cleanSessions(olderThan age: Duration) async throws -> Int

    // MARK: - People

    /// Sends a notice to programs on all nodes, on one, or to those that a user works with; returns its id.
    func notify(_ text: String, node: String?, user: String?) async throws -> String

    /// Measures how long a change takes to arrive at every connected node, waiting for answers up to `timeout`.
    func probe(timeout: Duration) async throws -> ProbeSummary
}
