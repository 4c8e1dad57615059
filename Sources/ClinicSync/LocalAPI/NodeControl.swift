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
}
