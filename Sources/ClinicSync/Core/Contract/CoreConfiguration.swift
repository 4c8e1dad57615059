package import ClinicSyncModel

/// The settings of the core, fixed when the node starts; every limit that an installation may change.
package struct CoreConfiguration: Sendable, Hashable {
    /// This node as the author of changes.
    package var origin: Origin
    /// This node's name for people.
    package var nodeName: String
    /// The clinic's id.
    package var clinicID: String
    /// The clinic's name for people.
    package var clinicName: String
    /// The program's version.
    package var softwareVersion: String
    /// Where this node is reached, each as `address:port`, the likeliest first.
    package var addresses: [String]
    /// How much an administrator prefers this node as host; 0: this node is never host.
    package var priority: UInt32
    /// Addresses of other members that are known at the start.
    package var hints: [PeerHint]
    /// The members whose membership is verified at the start, this node included.
    package var members: KnownMembers
    /// The verified epoch of the data in the store; `nil` when it has none.
    package var epoch: Epoch?
    /// Seed of the core's random numbers (jitter).
    package var randomSeed: UInt64

    /// The time between two pings.
    package var heartbeatInterval: Duration = .milliseconds(500)
    /// A peer whose last message is older than this counts as dead.
    package var silenceLimit: Duration = .seconds(2)
    /// The waiting times of the election.
    package var election = ElectionTiming()
    /// A peer must say hello within this time.
    package var handshakeLimit: Duration = .seconds(5)
    /// A dialled peer must answer this node's hello within this time.
    ///
    /// Otherwise the node dials again: the hello may have been lost on a network path that works again now.
    package var greetingLimit: Duration = .milliseconds(1_500)
    /// The upper bound of the first delay before a dial is repeated; the bound doubles with each failure.
    package var redialDelayMin: Duration = .milliseconds(100)
    /// The largest such bound.
    package var redialDelayMax: Duration = .seconds(15)
    /// The bound of a peer's first wait after its connection ended for a reason that a new connection does not change;
    /// the bound doubles with each such end.
    package var backOffMin: Duration = .milliseconds(500)
    /// The largest such bound.
    package var backOffMax: Duration = .seconds(300)
    /// The time between two periodic reconciliations.
    package var reconcileInterval: Duration = .seconds(30)
    /// A round that found changes in transit is tried again after this time.
    package var roundRetryDelay: Duration = .milliseconds(200)
    /// How often a round is tried again; after that it waits for the next period.
    package var roundRetriesMax = 25
    /// A round must end within this time.
    package var roundLimit: Duration = .seconds(60)
    /// A manual sync must end within this time.
    package var syncLimit: Duration = .seconds(60)
    /// How many passes over all nodes a manual sync makes until a pass repairs nothing.
    package var syncPassesMax = 5
    /// Payload bytes that each peer may have in transit to this node.
    package var creditBytes = 8 << 20
    /// Payload bytes that the store reads from the log at a time for a peer that is behind.
    package var logReadBytes = 1 << 20
    /// Connections at a time, connections without a hello included; further ones are closed as `overloaded`.
    package var connectionsMax = 512
    /// The store's work that failed is tried again after this time.
    package var storageRetryDelay: Duration = .seconds(1)
    /// The time between two rounds of housekeeping.
    package var housekeepingInterval: Duration = .seconds(10)
    /// A stamp that is further ahead of the clinic's time is reported and does not move the clock.
    package var clockTolerance: Duration = .milliseconds(500)

    /// The priority of a node for which nobody set one.
    package static let priorityDefault: UInt32 = 100

    /// Makes a configuration with the standard limits.
    package init(
        origin: Origin,
        nodeName: String,
        clinicID: String,
        clinicName: String,
        softwareVersion: String,
        addresses: [String],
        priority: UInt32 = CoreConfiguration.priorityDefault,
        hints: [PeerHint],
        members: KnownMembers = KnownMembers(),
        randomSeed: UInt64
    ) {
        self.origin = origin
        self.nodeName = nodeName
        self.clinicID = clinicID
        self.clinicName = clinicName
        self.softwareVersion = softwareVersion
        self.addresses = addresses
        self.priority = priority
        self.hints = hints
        self.members = members
        self.randomSeed = randomSeed
    }
}
