import ClinicSyncModel

/// The waiting times of an election.
package struct ElectionTiming: Sendable, Hashable {
    /// How long a node that knows other members waits at its start before it claims: discovery and dialling need that
    /// time.
    package var startWait: Duration = .seconds(1)
    /// How long the first successor waits after the loss of the host before it claims.
    ///
    /// That is long enough to connect again with a host that only lost the connection.
    package var firstWait: Duration = .milliseconds(100)
    /// How much longer each further successor waits.
    package var step: Duration = .milliseconds(150)
    /// How much longer a node waits for a better one to claim.
    package var grace: Duration = .seconds(1)
    /// How much longer a node waits for nodes that have accepted its socket, and whose hello it awaits.
    package var candidateWait: Duration = .seconds(2)
    /// How long a node waits before it looks again whether it may claim.
    package var recheck: Duration = .milliseconds(250)
    /// By how much the waits before a claim are multiplied, because this node is late itself.
    ///
    /// A host, or a better candidate, may have said so in a message that this node has not read yet.
    package var patience = 1

    /// Makes the standard times.
    package init() {}

    /// The wait of the successor at `place`; `nil`: of all other nodes.
    func wait(place: Int?) -> Duration {
        self.firstWait + self.step * (place ?? HostReport.successorsMax)
    }
}
