/// Decides how long the writing connection waits while another program's transaction holds the file's write lock.
///
/// The connection calls it on its own thread, the store's writing thread.
package protocol LockWait: AnyObject, Sendable {
    /// Another program still holds the lock, and has held it for another ``LockWaiting/sliceMilliseconds``.
    ///
    /// - Returns: Whether to go on waiting; otherwise the transaction fails with `SQLITE_BUSY`.
    func goesOn() -> Bool

    /// The connection has the lock.
    func ended()
}

/// How a connection waits for the write lock.
package enum LockWaiting {
    /// How long SQLite waits before ``LockWait`` is asked whether to go on.
    package static let sliceMilliseconds: Int32 = 250
    /// How long work of many transactions leaves the lock free between two of them.
    ///
    /// The lock is not fair: a connection that takes it again at once starves those that wait. SQLite's busy handler looks
    /// every 25 ms or more often in the first 128 ms of a wait, so a program that waits finds the lock free.
    package static let gap: Duration = .milliseconds(26)
}
