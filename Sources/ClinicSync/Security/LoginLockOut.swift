/// Counts wrong passwords by user and by PC, and says who has had enough.
///
/// Five wrong ones within 15 minutes lock for a minute. After that, each further one locks again, for twice as long, up to 15
/// minutes, until there was none for 15 minutes after a lock's end. Users and PCs are counted alike, so that neither one name can be
/// tried with many passwords, nor one password with many names.
///
/// Times are of a clock that never goes back. Bounded: beyond ``recordsMax`` the record that is good for least is dropped.
struct LoginLockOut: Sendable, Hashable {
    /// Who is counted.
    enum Subject: Sendable, Hashable {
        /// A user name, whether there is such a user or not.
        case user(String)
        /// A PC.
        case device(String)
    }

    private struct Record: Sendable, Hashable {
        /// When wrong passwords were counted, the last few, ascending.
        var failures: [Duration] = []
        /// The end of the newest lock.
        var lockedUntil: Duration?
        /// How many locks followed one another.
        var level = 0

        /// When something was counted last.
        var newest: Duration { max(self.failures.last ?? .zero, self.lockedUntil ?? .zero) }

        mutating func fail(at now: Duration) {
            if let lockedUntil = self.lockedUntil, now - lockedUntil < LoginLockOut.window {
                // One that was looked at while another locked must not lock again.
                if now >= lockedUntil { self.lock(at: now) }
                return
            }
            self.lockedUntil = nil
            self.level = 0
            self.failures = self.failures.filter { now - $0 < LoginLockOut.window } + [now]
            if self.failures.count >= LoginLockOut.failuresMax { self.lock(at: now) }
        }

        private mutating func lock(at now: Duration) {
            self.failures = []
            self.level = min(self.level + 1, 16)
            self.lockedUntil = now + min(LoginLockOut.lockMin * (1 << (self.level - 1)), LoginLockOut.lockMax)
        }
    }

    /// Wrong passwords until a subject is locked.
    static let failuresMax = 5
    /// How long a wrong password is remembered.
    static let window = Duration.seconds(15 * 60)
    /// The first lock.
    static let lockMin = Duration.seconds(60)
    /// The longest lock.
    static let lockMax = Duration.seconds(15 * 60)
    /// Users and PCs at most.
    static let recordsMax = 2_048

    private var records: [Subject: Record] = [:]

    /// Makes one that has seen nothing.
    init() {}

    /// How many users and PCs are remembered.
    var count: Int { self.records.count }

    /// How long nothing from any of `subjects` is looked at; `nil` when it is.
    func remaining(_ subjects: [Subject], at now: Duration) -> Duration? {
        let ends = subjects.compactMap { self.records[$0]?.lockedUntil }.filter { $0 > now }
        return ends.max().map { $0 - now }
    }

    /// Counts a wrong password.
    mutating func failed(_ subjects: [Subject], at now: Duration) {
        for subject in subjects {
            var record = self.records[subject] ?? Record()
            record.fail(at: now)
            self.records[subject] = record
            if self.records.count > LoginLockOut.recordsMax { self.dropOne(except: subject, at: now) }
        }
    }

    /// Forgets what was counted for a user who is logged in.
    ///
    /// A PC's count stays: who knows one password must not have more guesses at the others.
    mutating func succeeded(user: String) { self.records[.user(user)] = nil }

    private mutating func dropOne(except kept: Subject, at now: Duration) {
        // Locks go last: else a flood of names would open them.
        let least = self.records.filter { $0.key != kept }.min { left, right in
            let locks = (left.value.lockedUntil ?? .zero, right.value.lockedUntil ?? .zero)
            let areLocked = (locks.0 > now, locks.1 > now)
            if areLocked.0 != areLocked.1 { return areLocked.1 }
            return left.value.newest < right.value.newest
        }
        if let least { self.records[least.key] = nil }
    }
}
