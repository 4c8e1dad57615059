import ClinicSyncModel
public import Foundation

// The requests of programs that embed a node.
extension ClinicNode {
    // MARK: - Making a node

    /// Makes `directory` the first node of a new clinic.
    ///
    /// - Parameters:
    ///   - directory: the new node's files.
    ///   - clinicName: the clinic's name for people.
    ///   - nodeName: the node's name for people.
    ///   - admin: the first user; with `nil`, the clinic's program makes its users.
    /// - Throws: ``ClinicSyncError``: `usage` for an invalid name or password, `refused` when the directory already
    ///   contains a node, `permission`, `diskFull`, `storage`.
    public static func create(
        in directory: URL,
        clinicName: String,
        nodeName: String,
        admin: FirstAdministrator? = nil
    ) throws {
        _ = try NodeSetup.create(
            directory: NodeDirectory(url: directory),
            clinicName: clinicName,
            nodeName: nodeName,
            admin: admin
        )
    }

    /// Makes `directory` a further node of the clinic whose host made `code` with ``invite(ttl:uses:)``.
    ///
    /// - Parameters:
    ///   - code: the join code.
    ///   - directory: the new node's files.
    ///   - host: the host's address, `address:port`; with `nil`, the addresses in the code.
    ///   - nodeName: the node's name for people.
    /// - Throws: ``ClinicSyncError``: the errors of ``create(in:clinicName:nodeName:admin:)``, and `notReachable`,
    ///   `timeout`.
    public static func join(
        _ code: String,
        in directory: URL,
        host: String? = nil,
        nodeName: String
    ) async throws {
        _ = try await NodeSetup.join(
            directory: NodeDirectory(url: directory),
            code: try JoinCode(parsing: code),
            host: host,
            nodeName: nodeName
        )
    }

    /// The SQLite database that programs open.
    public var databaseURL: URL { self.settings.directory.databaseURL }

    // MARK: - While it runs

    /// Returns the node's identity and status.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notReachable` while the node does not run.
    public func status() async throws -> NodeStatus { try await self.control().status.status() }

    /// Returns row counts and digests computed from the real tables, of `table` or of all.
    ///
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `usage` for an unknown table.
    public func digest(table: String? = nil) async throws -> DigestSummary {
        try await self.control().tables.digest(table: table)
    }

    /// Compares complete tables of all reachable nodes now and repairs differences.
    ///
    /// - Returns: The result. ``SyncSummary/isConverged`` is `true` only when every reachable node is proven equal.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `usage`, `timeout`.
    public func sync(table: String? = nil, timeout: Duration = .seconds(60)) async throws -> SyncSummary {
        try await self.control().tables.sync(table: table, timeout: timeout)
    }

    /// Returns the members of the clinic, including revoked members.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notReachable` while the node does not run.
    public func nodes() async throws -> NodesSummary { try await self.control().members.nodes() }

    /// Revokes a member permanently.
    ///
    /// Each other node stops all exchange with the member when it learns of the revocation.
    ///
    /// - Parameter node: the member's id, the beginning of the id, or the member's name.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `refused` when this node may not
    ///   sign, `usage` for an unknown node.
    public func revoke(node: String) async throws { try await self.control().members.revoke(node: node) }

    /// Gives a member the right to invite, renew certificates and revoke.
    ///
    /// - Parameter node: the member's id, the beginning of the id, or the member's name.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `refused` when this node does not
    ///   hold the clinic's own key, `usage` for an unknown node.
    public func grant(node: String) async throws { try await self.control().members.grant(node: node) }

    /// Gives a member another name, which the member adopts when the change arrives.
    ///
    /// - Throws: ``ClinicSyncError``: `usage` for an unknown node or an invalid name, `refused` for the name of another
    ///   node.
    public func rename(node: String, to name: String) async throws {
        try await self.control().members.rename(node: node, to: name)
    }

    /// Makes a member the host in place of the current host, and returns when the change is complete.
    ///
    /// - Parameter node: the member's id, the beginning of the id, or the member's name.
    /// - Throws: ``ClinicSyncError``: `usage` for an unknown node, `refused` when the member cannot be host, `timeout`
    ///   when the member is not host within five seconds. After a timeout, the current host continues.
    public func transferHost(to node: String) async throws { try await self.control().members.transferHost(to: node) }

    /// Returns the author of each value in a row, and the values that lost to it.
    ///
    /// - Parameter path: `TABLE/PK`, or `TABLE/PK/COLUMN` for one column; a key may contain slashes.
    /// - Returns: The known facts about the row, even when the row is deleted or hidden.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `usage` for an unknown table or row.
    public func why(_ path: String) async throws -> WhySummary { try await self.control().conflicts.why(path) }

    /// Returns the newest entries of the clinic's conflict journal: the values that lost.
    ///
    /// - Parameter includingResolved: whether the result includes resolved entries.
    /// - Returns: At most 500 entries, newest first, with long values cut.
    /// - Throws: ``ClinicSyncError`` of code `notReachable` while the node does not run.
    public func conflicts(includingResolved: Bool = false) async throws -> ConflictsSummary {
        try await self.control().conflicts.conflicts(includingResolved ? .all : .open)
    }

    /// Resolves a conflict for all PCs.
    ///
    /// The method keeps the shown value or restores the value that lost, as an edit of this PC.
    ///
    /// - Parameters:
    ///   - id: ``ConflictSummary/id``, or at least the first six digits of it.
    ///   - keepOther: whether the table gets the value that lost.
    ///   - expected: the current value as the person saw it. The node refuses when the row now shows another value.
    /// - Returns: The conflict after the change.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `notFound`, `usage` when several ids
    ///   begin with `id`, and `refused` when the conflict is already resolved, the row is gone or changed, a constraint
    ///   forbids the change, or only an edit can end this kind of conflict (``ConflictSummary/canKeepOther``).
    @discardableResult
    public func resolveConflict(
        _ id: String,
        keepOther: Bool,
        expected: ConflictValue? = nil
    ) async throws -> ConflictSummary {
        try await self.control().conflicts.resolve(
            conflict: id,
            ConflictDecision(keep: keepOther ? .other : .current, expected: expected)
        )
    }

    /// Sends a notice to programs as an event `notice`, even on nodes that return within a day.
    ///
    /// - Parameters:
    ///   - text: one line of 1 to 1,000 characters.
    ///   - node: the node whose programs get the notice, by id, the beginning of the id, or name; `nil` for all nodes.
    ///   - user: the user whom the notice concerns, by login name or id; programs on all nodes get it.
    /// - Returns: The notice's id, which is the event's ``NodeEvent/recordId``.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `usage`, `refused` for an unknown user.
    @discardableResult
    public func notify(_ text: String, node: String? = nil, user: String? = nil) async throws -> String {
        try await self.control().notices.notify(text, node: node, user: user)
    }

    /// Measures how long a change takes to arrive at every connected node.
    ///
    /// - Parameter timeout: how long to wait for answers.
    /// - Returns: The answers, and the nodes without an answer.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `refused` during another measurement.
    public func probe(timeout: Duration = .seconds(10)) async throws -> ProbeSummary {
        try await self.control().probes.probe(timeout: timeout)
    }

    /// Makes a join code, on a node that may sign.
    ///
    /// - Parameters:
    ///   - ttl: how long the code is valid.
    ///   - uses: how many nodes may join with the code.
    /// - Returns: The code.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `refused` when this node may not
    ///   sign.
    public func invite(ttl: Duration = .seconds(1_800), uses: Int = 1) async throws -> String {
        try await self.control().members.invite(ttl: ttl, uses: uses)
    }

    /// Returns a stream of committed changes and the node's own events, from now on or after a position.
    ///
    /// - Parameters:
    ///   - categories: `billing`, `patient`, `user`, `data`, `system`; empty: all.
    ///   - tables: changes of these tables only; empty: all.
    ///   - users: only events that concern users with these ids; empty means all.
    ///   - since: ``NodeEvent/position`` of the last event seen. The stream starts with the later events.
    /// - Returns: The stream.
    /// - Throws: ``ClinicSyncError`` of code `usage` for an unknown category.
    public func events(
        categories: Set<String> = [],
        tables: Set<String> = [],
        users: Set<String> = [],
        since: UInt64? = nil
    ) async throws -> EventSubscription {
        let wanted = try categories.map { name in
            guard let category = EventCategory(rawValue: name) else {
                let names = EventCategory.allCases.map(\.rawValue).joined(separator: ", ")
                throw ClinicSyncError(.usage, "There is no category \"\(name)\": use one of \(names).")
            }
            return category
        }
        return self.events.subscribe(
            EventFilter(
                categories: Set(wanted),
                tables: tables,
                users: Set(users.map(SQLiteValue.string)),
                since: since
            )
        )
    }
}
