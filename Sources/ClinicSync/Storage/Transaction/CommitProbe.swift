import GRDB

/// Finds out whether another connection has committed something to a database file that is to be collected.
///
/// Asks `PRAGMA data_version` on a connection of its own (2 µs), the only thing that says for certain that there was a commit: file
/// events come before a commit is visible, and sizes do not change. The node's own commits change it too. So after a commit the
/// probe looks for marks, for capture that is switched off, and for another schema: without them there is nothing to collect, and
/// the store need not be woken. Not `Sendable`; belongs to one thread.
package final class CommitProbe {
    private let queue: DatabaseQueue
    /// `nil` once closed: a statement prepared on a closed handle would use memory that is no longer its own.
    private var connection: Connection?
    private var version: Int64 = -1
    /// `PRAGMA schema_version` at the last look.
    private var schema: Int64?

    /// Opens the file at `path`.
    package init(path: String) throws {
        var configuration = StoreDatabase.configuration(isFile: true)
        // It only looks: never let it wait for another program's lock on an event loop.
        configuration.busyMode = .immediateError
        let queue = try StoreError.mapping { try DatabaseQueue(path: path, configuration: configuration) }
        self.queue = queue
        self.connection = try queue.writeWithoutTransaction { try Connection($0) }
    }

    /// Whether something was committed since the last call that is to be collected; `true` at the first.
    ///
    /// Errors (a lock held for a moment) count as "perhaps": looking costs little. Always `false` once closed.
    package func hasChanged() -> Bool {
        guard let connection = self.connection else { return false }
        let current = Result { try connection.query("PRAGMA data_version").first { $0.int64(0) } ?? 0 }
        guard case .success(let version) = current else { return true }
        guard version != self.version else { return false }
        // A commit between the two looks changes the version again, and is looked at again.
        self.version = version
        guard case .success(false) = Result(catching: { try self.hasWork(on: connection) }) else { return true }
        return false
    }

    private func hasWork(on connection: Connection) throws -> Bool {
        let schema = try Transactions.schemaVersion(on: connection)
        defer { self.schema = schema }
        guard schema == self.schema else { return true }
        return try connection
            .query(
                """
                SELECT EXISTS (SELECT 1 FROM clinicsync_dirty)
                    OR coalesce((SELECT applying FROM clinicsync_guard WHERE id = 1), 1) <> 0
                """
            )
            .first { $0.int64(0) != 0 } ?? true
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
