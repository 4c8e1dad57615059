/// Counts wrong secrets by subject, such as an address or a user, and decides which subject must wait.
///
/// A number of wrong secrets within a window locks their subject. The probation is the time after a lock. Each wrong
/// secret on probation locks again at once and for twice as long, up to a limit. Attempts while a subject is locked do
/// not count.
///
/// Times come from a monotonic clock. ``LockOutPolicy/recordsMax`` bounds the number of subjects. Beyond it, the
/// subject counted longest ago is forgotten. A locked subject is forgotten only if all subjects are locked.
package struct LockOut<Subject: Sendable & Hashable>: Sendable, Hashable {
    private struct Record: Sendable, Hashable {
        /// When wrong secrets were counted, ascending, fewer than ``LockOutPolicy/failuresMax``.
        var failures: [Duration] = []
        /// The end of the newest lock.
        var lockedUntil: Duration?
        /// The number of consecutive locks.
        var level = 0

        /// The time of the newest count or lock.
        var newest: Duration { max(self.failures.last ?? .zero, self.lockedUntil ?? .zero) }

        mutating func fail(at now: Duration, _ policy: LockOutPolicy) {
            if let lockedUntil = self.lockedUntil {
                // Benign race: another secret locked the subject during this check. This secret must not lock again.
                if now < lockedUntil { return }
                if now < lockedUntil + policy.probation { return self.lock(at: now, policy) }
            }
            self.lockedUntil = nil
            self.level = 0
            self.failures = self.failures.filter { now - $0 < policy.window } + [now]
            if self.failures.count >= policy.failuresMax { self.lock(at: now, policy) }
        }

        private mutating func lock(at now: Duration, _ policy: LockOutPolicy) {
            self.failures = []
            self.level = min(self.level + 1, 16)
            self.lockedUntil = now + min(policy.lockMin * (1 << (self.level - 1)), policy.lockMax)
        }
    }

    /// The limits.
    package let policy: LockOutPolicy
    private var records: [Subject: Record] = [:]

    /// Makes a lock-out that has counted nothing.
    package init(_ policy: LockOutPolicy) { self.policy = policy }

    /// The number of remembered subjects.
    package var count: Int { self.records.count }

    /// Returns how long attempts of any of `subjects` are ignored; `nil` when none is locked.
    package func remaining(_ subjects: [Subject], at now: Duration) -> Duration? {
        let ends = subjects.compactMap { self.records[$0]?.lockedUntil }.filter { $0 > now }
        return ends.max().map { $0 - now }
    }

    /// Counts a wrong secret against each of `subjects`.
    package mutating func failed(_ subjects: [Subject], at now: Duration) {
        for subject in subjects {
            self.records[subject, default: Record()].fail(at: now, self.policy)
            if self.records.count > self.policy.recordsMax { self.dropOne(except: subject, at: now) }
        }
    }

    /// Forgets the count of a subject.
    package mutating func succeeded(_ subject: Subject) { self.records[subject] = nil }

    private mutating func dropOne(except kept: Subject, at now: Duration) {
        // Locked subjects are removed last. Otherwise a flood of names would remove the locks.
        let least = self.records.filter { $0.key != kept }.min { left, right in
            let locks = (left.value.lockedUntil ?? .zero, right.value.lockedUntil ?? .zero)
            let areLocked = (locks.0 > now, locks.1 > now)
            if areLocked.0 != areLocked.1 { return areLocked.1 }
            return left.value.newest < right.value.newest
        }
        if let least { self.records[least.key] = nil }
    }
}

/// The limits of a ``LockOut``.
package struct LockOutPolicy: Sendable, Hashable {
    /// The number of wrong secrets within ``window`` that locks a subject.
    package var failuresMax: Int
    /// How long a wrong secret is remembered.
    package var window: Duration
    /// The length of the first lock.
    package var lockMin: Duration
    /// The length of the longest lock.
    package var lockMax: Duration
    /// How long after a lock a single wrong secret locks again.
    package var probation: Duration
    /// The largest number of subjects.
    package var recordsMax: Int

    /// Makes limits.
    package init(
        failuresMax: Int,
        window: Duration,
        lockMin: Duration,
        lockMax: Duration,
        probation: Duration,
        recordsMax: Int
    ) {
        self.failuresMax = failuresMax
        self.window = window
        self.lockMin = lockMin
        self.lockMax = lockMax
        self.probation = probation
        self.recordsMax = recordsMax
    }
}
