package import ClinicSyncModel
import NIOConcurrencyHelpers
import NIOPosix

/// The result of checking a user's password.
package enum PasswordVerdict: Sendable, Hashable {
    /// The password is correct; the value is the id of the user's row.
    case accepted(userID: SQLiteValue)
    /// The user does not exist, or the password is wrong.
    ///
    /// The answer does not say which.
    case wrong
    /// This user or this PC had too many wrong passwords.
    ///
    /// The service checks nothing until `retryAfter` has passed.
    case lockedOut(retryAfter: Duration)
    /// The password is correct, but the user is deactivated.
    case inactive(userID: SQLiteValue)
    /// The row contains no supported hash.
    ///
    /// An administrator must run `clinic-node users passwd`.
    case unsupportedHash
    /// Too many checks are waiting.
    ///
    /// The caller should try again shortly.
    case busy(retryAfter: Duration)
}

/// Checks users' passwords on separate threads, at most two at once.
///
/// A check takes a tenth of a second and 32 MiB. Further checks wait, at most ``waitingMax``; beyond that the verdict
/// is `busy`. After a correct password, the service replaces a weaker hash or a hash of another kind.
package final class PasswordService: Sendable {
    /// The parts that the service uses.
    package struct Surroundings: Sendable {
        /// Reads the account of a user name.
        package var account: @Sendable (String) async throws -> LoginAccount?
        /// Replaces an account's hash if the stored hash is still the old hash: id, old, new.
        package var replace: @Sendable (SQLiteValue, String, String) async throws -> Void
        /// A monotonic clock.
        package var monotonic: @Sendable () -> Duration
        /// The parameters of new hashes.
        package var parameters: ScryptParameters

        /// Makes surroundings.
        package init(
            account: @escaping @Sendable (String) async throws -> LoginAccount?,
            replace: @escaping @Sendable (SQLiteValue, String, String) async throws -> Void,
            monotonic: @escaping @Sendable () -> Duration,
            parameters: ScryptParameters = .standard
        ) {
            self.account = account
            self.replace = replace
            self.monotonic = monotonic
            self.parameters = parameters
        }
    }

    /// The result of a thread's work.
    private enum Finding: Sendable {
        case locked(Duration)
        case check(PasswordHash.Check, renewed: String?)
    }

    /// The largest number of concurrent checks.
    package static let threads = 2
    /// The largest number of checks that wait for a thread.
    package static let waitingMax = 16
    /// The largest examined size in bytes of a user name, and of a PC's name.
    private static let nameBytesMax = 256

    private let surroundings: Surroundings
    private let pool = NIOThreadPool(numberOfThreads: PasswordService.threads)
    private let lockOut = NIOLockedValueBox(LockOut<LoginSubject>(.passwords))
    private let pending = NIOLockedValueBox(0)

    /// Starts the threads.
    ///
    /// The caller must call ``close()``.
    package init(_ surroundings: Surroundings) {
        self.surroundings = surroundings
        self.pool.start()
    }

    /// Stops the threads after they finish the current work.
    package func close() async throws { try await self.pool.shutdownGracefully() }

    /// Checks a password.
    ///
    /// - Parameters:
    ///   - password: the typed password; an empty password is never correct.
    ///   - username: the user's name; all spellings that differ in case share a lock-out.
    ///   - device: the PC where the user typed the password.
    /// - Returns: The verdict; the check takes as long for a user who does not exist as for a user with a new hash.
    /// - Throws: what reading the account throws; `CancellationError` after ``close()``.
    package func verify(
        _ password: String,
        for username: String,
        from device: String
    ) async throws -> PasswordVerdict {
        guard username.utf8.count <= PasswordService.nameBytesMax, device.utf8.count <= PasswordService.nameBytesMax
        else { return .wrong }
        let subjects: [LoginSubject] = [.user(.string(UserName.folded(username))), .device(.string(device))]
        if let remaining = self.remaining(subjects) { return .lockedOut(retryAfter: remaining) }
        let isFull = self.pending.withLockedValue { pending in
            if pending >= PasswordService.threads + PasswordService.waitingMax { return true }
            pending += 1
            return false
        }
        guard !isFull else { return .busy(retryAfter: .seconds(1)) }
        defer { self.pending.withLockedValue { $0 -= 1 } }
        let account = try await self.surroundings.account(username)
        let finding = try await self.pool.runIfActive { try self.find(password, account, subjects) }
        switch finding {
        case .locked(let remaining):
            return .lockedOut(retryAfter: remaining)
        case .check(.unsupported, renewed: _):
            return account == nil ? .wrong : .unsupportedHash
        case .check(.differs, renewed: _):
            return .wrong
        case .check(.matches, let renewed):
            guard let account else { return .wrong }
            guard account.isActive else { return .inactive(userID: account.id) }
            if let renewed, let old = account.passwordHash {
                try await self.surroundings.replace(account.id, old, renewed)
            }
            return .accepted(userID: account.id)
        }
    }

    /// Runs on a thread of the pool.
    private func find(
        _ password: String,
        _ account: LoginAccount?,
        _ subjects: [LoginSubject]
    ) throws -> Finding {
        // Check again after the wait, so that many simultaneous guesses are counted one after another.
        if let remaining = self.remaining(subjects) { return .locked(remaining) }
        let parameters = self.surroundings.parameters
        guard let stored = account?.passwordHash else {
            try PasswordHash.pretend(password, parameters: parameters)
            guard account == nil else { return .check(.unsupported, renewed: nil) }
            self.count(subjects)
            return .check(.differs, renewed: nil)
        }
        let check = try PasswordHash.check(password, against: stored, parameters: parameters)
        var renewed: String?
        switch check {
        case .differs: self.count(subjects)
        case .unsupported: try PasswordHash.pretend(password, parameters: parameters)
        case .matches(let isWeak):
            self.lockOut.withLockedValue { $0.succeeded(subjects[0]) }
            if isWeak, account?.isActive == true {
                renewed = try PasswordHash.renew(password, parameters: parameters)
            }
        }
        return .check(check, renewed: renewed)
    }

    private func remaining(_ subjects: [LoginSubject]) -> Duration? {
        let now = self.surroundings.monotonic()
        return self.lockOut.withLockedValue { $0.remaining(subjects, at: now) }
    }

    private func count(_ subjects: [LoginSubject]) {
        let now = self.surroundings.monotonic()
        self.lockOut.withLockedValue { $0.failed(subjects, at: now) }
    }
}
