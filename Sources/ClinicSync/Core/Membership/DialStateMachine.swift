package import ClinicSyncModel

/// Keeps a client connected: dials the host's addresses in turn, for ever.
///
/// After each failure it waits a random part (full jitter) of a bound that doubles up to a limit, so that all
/// clients of a host that failed do not return in the same instant.
package struct DialStateMachine: Sendable, Hashable {
    /// Where the search stands.
    package enum State: Sendable, Hashable {
        /// Not started, or no address to dial. Can transition to `dialling`.
        case idle
        /// A dial or the handshake after it is in progress. Can transition to `waiting`, `connected`.
        case dialling(address: String)
        /// A delay runs. Can transition to `dialling`.
        case waiting(address: String)
        /// The host said hello at `since`. Can transition to `waiting`.
        case connected(since: Duration)
    }

    /// What is to be done next.
    package enum Step: Sendable, Hashable {
        /// Dial now.
        case dial(address: String)
        /// Dial after the delay.
        case wait(address: String, delay: Duration)
    }

    /// Where the search stands.
    package private(set) var state: State = .idle
    private let addresses: [String]
    private let delayMin: Duration
    private let delayMax: Duration
    private var failures = 0
    private var nextAddress = 0

    /// Makes a search that has not started.
    package init(addresses: [String], delayMin: Duration, delayMax: Duration) {
        self.addresses = addresses
        self.delayMin = delayMin
        self.delayMax = delayMax
    }

    /// Dials the first address.
    package mutating func start() -> Step? {
        guard self.state == .idle, let address = self.addresses.first else { return nil }
        self.state = .dialling(address: address)
        return .dial(address: address)
    }

    /// Takes note that the dial, or the handshake after it, failed.
    package mutating func failed(address: String, using generator: inout SplitMix64) -> Step? {
        // Benign race: the answer to a dial that something else has overtaken.
        guard self.state == .dialling(address: address) else { return nil }
        return self.wait(using: &generator)
    }

    /// Dials when the delay is over.
    package mutating func timerFired(address: String) -> Step? {
        // Benign race: the timer ran out while it was being replaced.
        guard self.state == .waiting(address: address) else { return nil }
        self.state = .dialling(address: address)
        return .dial(address: address)
    }

    /// Takes note that the host said hello.
    package mutating func established(at time: Duration) {
        self.state = .connected(since: time)
    }

    /// Returns at once to a host that was lost, but not to one that sends us away again and again.
    package mutating func lost(
        _ reason: CloseReason,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> Step? {
        guard case .connected(let since) = self.state else { return nil }
        if time - since >= self.delayMax || !reason.isRejection {
            self.failures = 0
            // The address that worked is tried first: `wait` goes one on.
            self.nextAddress += self.addresses.count - 1
        }
        return self.wait(using: &generator)
    }

    /// The upper bound of the delay after `failures` failures in a row.
    package func bound(afterFailures failures: Int) -> Duration {
        var bound = self.delayMin
        for _ in 0..<failures {
            bound = bound * 2
            if bound >= self.delayMax { return self.delayMax }
        }
        return min(bound, self.delayMax)
    }

    private mutating func wait(using generator: inout SplitMix64) -> Step? {
        guard !self.addresses.isEmpty else { return nil }
        let delay = generator.duration(upTo: self.bound(afterFailures: self.failures))
        self.failures += 1
        self.nextAddress = (self.nextAddress + 1) % self.addresses.count
        let address = self.addresses[self.nextAddress]
        self.state = .waiting(address: address)
        return .wait(address: address, delay: delay)
    }
}

extension CloseReason {
    /// Whether the peer, or we, had something against the connection that a new one does not cure.
    var isRejection: Bool {
        switch self {
        case .shuttingDown, .peerSilent, .connectionLost: false
        case .protocolViolation, .protocolVersion, .wrongClinic, .notAMember, .replaced, .handshakeTimeout,
            .duplicateIdentity, .notHost, .overloaded, .storageFailed, .revoked:
            true
        }
    }
}
