import ClinicSyncModel

/// The waiting times of an election.
package struct ElectionTiming: Sendable, Hashable {
    /// How much longer than usual a node waits before it claims.
    package struct Pace: Sendable, Hashable {
        /// By how much the waits are multiplied, because this node is late itself.
        ///
        /// A host, or a better candidate, may have said so in a message that this node has not read yet.
        package var patience: Int
        /// Nodes without a place in the succession spread their claims over this time, if it is longer than ``step``.
        ///
        /// In a large clinic that has lost the host and its successors, one claims so before the others begin.
        package var spread: Duration

        /// Makes a pace; by default the usual one.
        package init(patience: Int = 1, spread: Duration = .zero) {
            self.patience = patience
            self.spread = spread
        }
    }

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
    /// How long a node waits before it looks again whether it may claim.
    package var recheck: Duration = .milliseconds(250)
    /// How much longer than usual the node waits before it claims.
    package var pace = Pace()

    /// Makes the standard times.
    package init() {}

    /// The wait of the successor at `place`; `nil`: of all other nodes.
    func wait(place: Int?) -> Duration {
        self.firstWait + self.step * (place ?? HostReport.successorsMax)
    }
}
