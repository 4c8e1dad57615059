import GRDB

/// Finds out whether another connection has committed to a database file.
///
/// Asks `PRAGMA data_version` on a connection of its own (2 µs), the only thing that says so for certain: file events
/// come before a commit is visible, and sizes do not change. Not `Sendable`; belongs to one thread.
package final class CommitProbe {
    private let queue: DatabaseQueue
    /// `nil` once closed: a statement prepared on a closed handle would use memory that is no longer its own.
    private var connection: Connection?
    private var version: Int64 = -1

    /// Opens the file at `path`.
    package init(path: String) throws {
        var configuration = StoreDatabase.configuration(isFile: true)
        // It only looks: never let it wait for another program's lock on an event loop.
        configuration.busyMode = .immediateError
        let queue = try StoreError.mapping { try DatabaseQueue(path: path, configuration: configuration) }
        self.queue = queue
        self.connection = try queue.writeWithoutTransaction { try Connection($0) }
    }

    /// Whether something was committed since the last call; `true` at the first.
    ///
    /// Errors (a lock held for a moment) count as "perhaps": looking costs little. Always `false` once closed.
    package func hasChanged() -> Bool {
        guard let connection = self.connection else { return false }
        let current = Result { try connection.query("PRAGMA data_version").first { $0.int64(0) } ?? 0 }
        guard case .success(let version) = current else { return true }
        defer { self.version = version }
        return version != self.version
    }

    /// Closes the file; a second call does nothing.
    package func close() {
        guard let connection = self.connection else { return }
        self.connection = nil
        connection.finalizeStatements()
        // Nothing is written through this connection, so nothing can be lost by a close that fails.
        _ = Result { try self.queue.close() }
    }
}
