import ClinicSyncModel
import NIOConcurrencyHelpers
import NIOPosix

/// What came of a user's password.
package enum PasswordVerdict: Sendable, Hashable {
    /// It is the user's; the id of the user's row.
    case accepted(userID: String)
    /// There is no such user, or it is another password: nobody is told which.
    case wrong
    /// Too many wrong ones of this user or from this PC: nothing is looked at until this has passed.
    case lockedOut(retryAfter: Duration)
    /// It is the user's, who was deactivated.
    case inactive(userID: String)
    /// What the row holds is no hash that can be checked: an administrator must run `clinic-node users passwd`.
    case unsupportedHash
    /// Too many checks wait already: try again shortly.
    case busy(retryAfter: Duration)
}

/// Checks users' passwords, on threads of its own, at most two at once.
///
/// A check takes a tenth of a second and 32 MiB. Beyond two, ``waitingMax`` wait; beyond that the verdict is `busy`. A
/// hash of another kind, or a weaker one, is replaced when its password was right.
package final class PasswordService: Sendable {
    /// What the service works with.
    package struct Surroundings: Sendable {
        /// Reads the account of a user name.
        package var account: @Sendable (String) async throws -> LoginAccount?
        /// Replaces an account's hash if it still is the old one: id, old, new.
        package var replace: @Sendable (String, String, String) async throws -> Void
        /// A clock that never goes back.
        package var monotonic: @Sendable () -> Duration
        /// The parameters of new hashes.
        package var parameters: ScryptParameters

        /// Makes surroundings.
        package init(
            account: @escaping @Sendable (String) async throws -> LoginAccount?,
            replace: @escaping @Sendable (String, String, String) async throws -> Void,
            monotonic: @escaping @Sendable () -> Duration,
            parameters: ScryptParameters = .standard
        ) {
            self.account = account
            self.replace = replace
            self.monotonic = monotonic
            self.parameters = parameters
        }
    }

    /// What a thread found out.
    private enum Finding: Sendable {
        case locked(Duration)
        case check(PasswordHash.Check, renewed: String?)
    }

    /// Checks at once.
    package static let threads = 2
    /// Checks that may wait for a thread.
    package static let waitingMax = 16
    /// Bytes of a user name, and of a PC's, that are looked at.
    private static let nameBytesMax = 256

    private let surroundings: Surroundings
    private let pool = NIOThreadPool(numberOfThreads: PasswordService.threads)
    private let lockOut = NIOLockedValueBox(LockOut<LoginSubject>(.passwords))
    private let pending = NIOLockedValueBox(0)

    /// Starts the threads; ``close()`` must follow.
    package init(_ surroundings: Surroundings) {
        self.surroundings = surroundings
        self.pool.start()
    }

    /// Stops the threads when what was begun is done.
    package func close() async throws { try await self.pool.shutdownGracefully() }

    /// Judges a password.
    ///
    /// - Parameters:
    ///   - password: what was typed; an empty one is never right.
    ///   - username: the user's name, exactly as in the table.
    ///   - device: the PC on which it was typed.
    /// - Returns: The verdict; for a user who does not exist it takes as long as for one with a new hash.
    /// - Throws: what reading the account throws; `CancellationError` after ``close()``.
    package func verify(
        _ password: String,
        for username: String,
        from device: String
    ) async throws -> PasswordVerdict {
        guard username.utf8.count <= PasswordService.nameBytesMax, device.utf8.count <= PasswordService.nameBytesMax
        else { return .wrong }
        let subjects: [LoginSubject] = [.user(username), .device(device)]
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
        // Again, after the wait: many guesses sent at once are counted one after the other.
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
