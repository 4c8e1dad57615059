/// The pings of the node: one number for all peers at each beat, and the time when it was sent.
package struct Heartbeat: Sendable, Hashable {
    private struct Beat: Sendable, Hashable {
        let id: UInt64
        let sent: Duration
    }

    private let silenceLimit: Duration
    private var beats: [Beat] = []
    private var lastID: UInt64 = 0
    /// When the next beat is due; `nil` before the first one was planned.
    private var due: Duration?
    private var health: LocalHealth

    /// Starts without a beat.
    package init(interval: Duration, silenceLimit: Duration) {
        self.silenceLimit = silenceLimit
        self.health = LocalHealth(interval: interval)
    }

    /// By how much this node's patience with others is multiplied, because its own beats came late.
    package var patience: Int { self.health.patience }

    /// The next beat is due at `time`.
    package mutating func plan(at time: Duration) { self.due = time }

    /// Counts a beat at `time`.
    ///
    /// - Returns: The ping's id, and whether this node was suspended since the beat before. After a suspension the
    ///   silence of the peers proves nothing, because their messages still wait to be read.
    package mutating func beat(at time: Duration) -> (id: UInt64, wasAsleep: Bool) {
        if let due = self.due { self.health.beat(at: time, lateness: time - due) }
        self.due = nil
        let wasAsleep = self.beats.last.map { time - $0.sent >= self.silenceLimit } ?? false
        self.lastID &+= 1
        self.beats.append(Beat(id: self.lastID, sent: time))
        if self.beats.count > CoreLimits.pingsRememberedMax { self.beats.removeFirst() }
        return (self.lastID, wasAsleep)
    }

    /// Returns how long the answer to ping `id` took; `nil` when the ping is unknown or too old.
    package func roundTrip(of id: UInt64, at time: Duration) -> Duration? {
        self.beats.first { $0.id == id }.map { time - $0.sent }
    }
}

/// The result of a beat of the heart.
package struct HeartbeatOutcome: Sendable, Hashable {
    /// The number of the ping to send.
    package var ping: UInt64
    /// The links that get the ping.
    package var pinged: [ConnectionID]
    /// Links whose peer has been silent for too long.
    package var silent: [ConnectionID]
    /// What operators must hear of: peers whose connection proved useful after all.
    package var notices: [Effect]
    /// How long to wait for the next beat.
    package var next: Duration

    /// Makes a result.
    package init(
        ping: UInt64,
        pinged: [ConnectionID] = [],
        silent: [ConnectionID],
        notices: [Effect] = [],
        next: Duration
    ) {
        self.ping = ping
        self.pinged = pinged
        self.silent = silent
        self.notices = notices
        self.next = next
    }
}
