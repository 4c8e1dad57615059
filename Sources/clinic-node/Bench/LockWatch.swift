import ClinicSync
import Foundation
import Glibc
import NIOConcurrencyHelpers

/// A program that tries to get the write lock of a file every millisecond, and measures for how long it cannot.
enum LockWatch {
    /// The longest time in milliseconds for which the lock was held while `body` ran.
    static func longest(path: String, while body: () throws -> Void) throws -> Double {
        let isOver = NIOLockedValueBox(false)
        let longest = NIOLockedValueBox(0.0)
        let ended = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            // A connection belongs to one thread.
            let watch = Result {
                let program = try ProgramConnection(path: path, synchronous: .normal)
                try program.execute("PRAGMA busy_timeout = 0")
                return program
            }
            var since = ContinuousClock.now
            while case .success(let program) = watch, !isOver.withLockedValue({ $0 }) {
                let isFree = (try? program.execute("BEGIN IMMEDIATE; ROLLBACK")) != nil
                let now = ContinuousClock.now
                longest.withLockedValue { $0 = max($0, (now - since) / .milliseconds(1)) }
                if isFree { since = now }
                usleep(500)
            }
            ended.signal()
        }
        defer { ended.wait() }
        defer { isOver.withLockedValue { $0 = true } }
        try body()
        return longest.withLockedValue { $0 }
    }
}
