package import ClinicSyncModel

/// What the core is told once, and every limit it keeps.
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
    /// How much an administrator wants this node as host; 0: never.
    package var priority: UInt32
    /// Where other members may be reached, as far as that is known at the start.
    package var hints: [PeerHint]
    /// Seed of the core's random numbers (jitter).
    package var randomSeed: UInt64

    /// Between two pings.
    package var heartbeatInterval: Duration = .milliseconds(500)
    /// A peer not heard of for this long is dead.
    package var silenceLimit: Duration = .seconds(2)
    /// How long an election waits for what.
    package var election = ElectionTiming()
    /// A peer must have said hello within this time.
    package var handshakeLimit: Duration = .seconds(5)
    /// A peer that was dialled and does not answer our hello within this time is dialled anew: what was sent may have been lost
    /// with a path that is whole again.
    package var greetingLimit: Duration = .milliseconds(1_500)
    /// Upper bound of the first delay before a dial is repeated; doubles with each failure.
    package var redialDelayMin: Duration = .milliseconds(100)
    /// Upper bound of all such delays.
    package var redialDelayMax: Duration = .seconds(15)
    /// Between two periodic reconciliations.
    package var reconcileInterval: Duration = .seconds(30)
    /// A round that found changes on their way is tried again after this time.
    package var roundRetryDelay: Duration = .milliseconds(200)
    /// So often at most; then it is left to the next period.
    package var roundRetriesMax = 25
    /// A round must end within this time.
    package var roundLimit: Duration = .seconds(60)
    /// A manual sync must end within this time.
    package var syncLimit: Duration = .seconds(60)
    /// So often a manual sync compares all nodes until nothing had to be repaired.
    package var syncPassesMax = 5
    /// Payload bytes each peer may have on its way to us.
    package var creditBytes = 8 << 20
    /// Payload bytes read from the log at a time for a peer that is behind.
    package var logReadBytes = 1 << 20
    /// Connections at once, those without hello included; more are closed as `overloaded`.
    package var connectionsMax = 512
    /// Storage work that failed is tried again after this time.
    package var storageRetryDelay: Duration = .seconds(1)
    /// Between two recordings of members' progress.
    package var housekeepingInterval: Duration = .seconds(10)
    /// A stamp further ahead than this is not adopted by the clock.
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
        self.randomSeed = randomSeed
    }
}
