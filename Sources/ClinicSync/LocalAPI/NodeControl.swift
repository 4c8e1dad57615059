/// The operations that programs and people can request of a running node, with one part for each subject.
///
/// The runtime makes the parts; the local API serves them. Every method of a part throws ``ClinicSyncError`` with a sentence for
/// people.
package struct NodeControl: Sendable {
    /// The status of the node.
    package var status: any StatusControl
    /// The clinic's tables as a whole.
    package var tables: any TableControl
    /// The members of the clinic.
    package var members: any MemberControl
    /// The conflict journal.
    package var conflicts: any ConflictControl
    /// The sessions of users.
    package var sessions: any SessionControl
    /// Notices to programs.
    package var notices: any NoticeControl
    /// Measurements of the time that a change takes to arrive.
    package var probes: any ProbeControl
    /// The events of the node: committed changes, and the node's own news.
    package var events: EventBroadcaster

    /// Joins the parts.
    package init(
        status: any StatusControl,
        tables: any TableControl,
        members: any MemberControl,
        conflicts: any ConflictControl,
        sessions: any SessionControl,
        notices: any NoticeControl,
        probes: any ProbeControl,
        events: EventBroadcaster
    ) {
        self.status = status
        self.tables = tables
        self.members = members
        self.conflicts = conflicts
        self.sessions = sessions
        self.notices = notices
        self.probes = probes
        self.events = events
    }
}

/// Reports the status of the node.
package protocol StatusControl: Sendable {
    /// Returns the node's identity and status.
    func status() async throws -> NodeStatus

    /// Whether the node does its work, with what is not well.
    func health() async -> HealthSummary

    /// The round trips of the last hour.
    func latency() async throws -> LatencyHistory

    /// The node's metrics in Prometheus' text format 0.0.4.
    func metrics() async throws -> String
}

/// Compares and repairs the clinic's tables.
package protocol TableControl: Sendable {
    /// Returns row counts and digests computed from the real tables, of one table or all.
    func digest(table: String?) async throws -> DigestSummary

    /// Compares all reachable nodes and repairs differences, within `timeout`.
    func sync(table: String?, timeout: Duration) async throws -> SyncSummary

    /// Makes the database file ready to be copied: what programs wrote until now is in the node's log afterwards.
    func prepareBackup() async throws
}

/// Lists and changes the members of the clinic.
///
/// A node is named by its id, by the beginning of its id, or by its name.
package protocol MemberControl: Sendable {
    /// The members of the clinic, revoked ones included.
    func nodes() async throws -> NodesSummary

    /// Revokes a member permanently.
    func revoke(node: String) async throws

    /// Gives a member the right to sign.
    func grant(node: String) async throws

    /// Gives a member another name, on every PC.
    func rename(node: String, to name: String) async throws

    /// Makes a member the host in place of the current host.
    func transferHost(to node: String) async throws

    /// Makes a join code for at most `uses` joins within `ttl`.
    func invite(ttl: Duration, uses: Int) async throws -> String
}

/// Shows and settles the conflict journal.
package protocol ConflictControl: Sendable {
    /// The newest entries of the conflict journal.
    func conflicts(_ filter: ConflictFilter) async throws -> ConflictsSummary

    /// Returns one entry of the conflict journal with complete values, by the beginning of its id.
    func conflict(_ id: String) async throws -> ConflictSummary

    /// Resolves an entry of the conflict journal and returns the resulting entry.
    func resolve(conflict id: String, _ decision: ConflictDecision) async throws -> ConflictSummary

    /// Resolves all open entries of the conflict journal that fit, or counts them.
    func resolve(_ decision: ConflictsDecision) async throws -> ConflictsResolution

    /// Returns the author of each value in a row (`TABLE/PK`) or in one column (`TABLE/PK/COLUMN`).
    func why(_ path: String) async throws -> WhySummary
}

/// Lists, begins and ends sessions of users.
package protocol SessionControl: Sendable {
    /// Active sessions, or all.
    func sessions(onlyActive: Bool) async throws -> SessionsSummary

    /// Logs a user in.
    func login(_ input: LoginInput) async throws -> LoginResult

    /// Ends a session.
    ///
    /// The end counts as a logout for a session of this PC, and otherwise as an administrator's action.
    func endSession(_ id: String) async throws

    /// Ends all sessions of a user, named by name or key, and returns the number of ended sessions.
    func endSessions(of username: String) async throws -> Int

    /// Records that the user of a session was active.
    func touchSession(_ id: String) async throws

    /// Removes sessions that ended longer ago than `age`, and returns their number.
    func cleanSessions(olderThan age: Duration) async throws -> Int
}

/// Sends notices to programs.
package protocol NoticeControl: Sendable {
    /// Sends a notice to programs on all nodes, on one node, or to programs of one user; returns the notice's id.
    func notify(_ text: String, node: String?, user: String?) async throws -> String
}

/// Measures how long a change takes to arrive.
package protocol ProbeControl: Sendable {
    /// Measures how long a change takes to arrive at every connected node, waiting for answers up to `timeout`.
    func probe(timeout: Duration) async throws -> ProbeSummary
}
