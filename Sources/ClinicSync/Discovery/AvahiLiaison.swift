/// The state of avahi-daemon: whether it can announce, what people have been told, and when to try again.
///
/// A value that knows no libavahi and no clock; the session tells it what happened.
struct AvahiLiaison: Hashable {
    /// The delay before a client that failed is replaced.
    static let reconnectMin = Duration.seconds(1)
    /// The delay while there is no daemon.
    static let reconnectMax = Duration.seconds(5)
    /// How long a daemon may take to get its host name before people are told: a second is usual.
    static let registeringMax = Duration.seconds(10)

    /// Whether the daemon has its host name, so that services can be announced.
    private(set) var isRunning = false
    /// When to make the next client, while there is none.
    private(set) var connectAt = Duration.zero
    /// When to say that the daemon does not get ready.
    private(set) var stuckAt: Duration?
    private var failures = 0
    /// Whether people have been told that discovery works.
    private var isAvailable = false
    /// Whether people have been told that there is no daemon, so that they are told once.
    private var hasComplained = false

    /// Takes note that the daemon is ready.
    ///
    /// - Returns: What to tell people, if anything.
    mutating func running() -> DiscoveryEvent? {
        self.isRunning = true
        self.stuckAt = nil
        self.failures = 0
        self.hasComplained = false
        defer { self.isAvailable = true }
        return self.isAvailable ? nil : .available
    }

    /// Takes note that the daemon gets another host name.
    mutating func registering(at now: Duration) {
        self.isRunning = false
        if self.stuckAt == nil { self.stuckAt = now + AvahiLiaison.registeringMax }
    }

    /// Takes note that the client waits for a daemon.
    mutating func waiting() { self.isRunning = false }

    /// Takes note that there is no client any more.
    mutating func disconnected(at now: Duration) {
        self.isRunning = false
        self.stuckAt = nil
        self.connectAt = now + (self.failures == 0 ? AvahiLiaison.reconnectMin : AvahiLiaison.reconnectMax)
        self.failures += 1
    }

    /// Whether the daemon has taken too long to get ready; says so once.
    mutating func isStuck(at now: Duration) -> Bool {
        guard let stuckAt = self.stuckAt, stuckAt <= now else { return false }
        self.stuckAt = nil
        return true
    }

    /// The event for a failure; `nil` when people have been told since discovery last worked.
    mutating func complain(_ reason: String) -> DiscoveryEvent? {
        guard !self.hasComplained else { return nil }
        self.hasComplained = true
        self.isAvailable = false
        return .unavailable(reason)
    }
}
