/// The state of avahi-daemon.
///
/// It records whether the daemon can announce, what the node has reported to people, and when to try again. It is a
/// value that uses no libavahi and no clock; the session reports events to it.
struct AvahiLiaison: Hashable {
    /// The delay before the session replaces a failed client.
    static let reconnectMin = Duration.seconds(1)
    /// The delay while there is no daemon.
    static let reconnectMax = Duration.seconds(5)
    /// How long a daemon may take to get its host name before the node reports the delay; usually a second.
    static let registeringMax = Duration.seconds(10)

    /// Whether the daemon has its host name, so that services can be announced.
    private(set) var isRunning = false
    /// When to make the next client, while no client exists.
    private(set) var connectAt = Duration.zero
    /// When to report that the daemon is not ready.
    private(set) var stuckAt: Duration?
    private var failures = 0
    /// Whether the node has reported that discovery works.
    private var isAvailable = false
    /// Whether the node has reported that no daemon runs.
    ///
    /// The node reports this only once.
    private var hasComplained = false

    /// Records that the daemon is ready.
    ///
    /// - Returns: The event to report, if any.
    mutating func running() -> DiscoveryEvent? {
        self.isRunning = true
        self.stuckAt = nil
        self.failures = 0
        self.hasComplained = false
        defer { self.isAvailable = true }
        return self.isAvailable ? nil : .available
    }

    /// Records that the daemon is getting another host name.
    mutating func registering(at now: Duration) {
        self.isRunning = false
        if self.stuckAt == nil { self.stuckAt = now + AvahiLiaison.registeringMax }
    }

    /// Records that the client waits for a daemon.
    mutating func waiting() { self.isRunning = false }

    /// Records that no client exists any more.
    mutating func disconnected(at now: Duration) {
        self.isRunning = false
        self.stuckAt = nil
        self.connectAt = now + (self.failures == 0 ? AvahiLiaison.reconnectMin : AvahiLiaison.reconnectMax)
        self.failures += 1
    }

    /// Returns whether the daemon has taken too long to become ready; `true` only once.
    mutating func isStuck(at now: Duration) -> Bool {
        guard let stuckAt = self.stuckAt, stuckAt <= now else { return false }
        self.stuckAt = nil
        return true
    }

    /// Returns the event for a failure; `nil` when a failure was already reported since discovery last worked.
    mutating func complain(_ reason: String) -> DiscoveryEvent? {
        guard !self.hasComplained else { return nil }
        self.hasComplained = true
        self.isAvailable = false
        return .unavailable(reason)
    }
}
