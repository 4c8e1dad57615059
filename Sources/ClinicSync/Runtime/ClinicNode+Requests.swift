import ClinicSyncModel
public import Foundation

// What programs that embed a node may ask of it.
extension ClinicNode {
    // MARK: - Making a node

    /// Makes `directory` the first node of a new clinic.
    ///
    /// - Parameters:
    ///   - directory: the new node's files.
    ///   - clinicName: the clinic's name for people.
    ///   - nodeName: the node's name for people.
    ///   - admin: the first user; `nil`: the clinic's program makes its users.
    /// - Throws: ``ClinicSyncError``: `usage` for a name or password that cannot be one, `refused` when the directory holds
    ///   a node already, `permission`, `diskFull`, `storage`.
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
    ///   - host: where the host is, `address:port`; `nil`: where the code says.
    ///   - nodeName: the node's name for people.
    /// - Throws: ``ClinicSyncError``: as ``create(in:clinicName:nodeName:admin:)``, and `notReachable`, `timeout`.
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

    /// Who the node is and how it is doing.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notReachable` while the node does not run.
    public func status() async throws -> NodeStatus { try await self.control().status.status() }

    /// Rows and digests computed from the real tables, of `table` or of all.
    ///
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `usage` for an unknown table.
    public func digest(table: String? = nil) async throws -> DigestSummary {
        try await self.control().tables.digest(table: table)
    }

    /// Compares whole tables of all reachable nodes now and repairs what differs.
    ///
    /// - Returns: How it ended; ``SyncSummary/isConverged`` only when every reachable node is proven equal.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `usage`, `timeout`.
    public func sync(table: String? = nil, timeout: Duration = .seconds(60)) async throws -> SyncSummary {
        try await self.control().tables.sync(table: table, timeout: timeout)
    }

    /// The members of the clinic, those who were sent away included.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notReachable` while the node does not run.
    public func nodes() async throws -> NodesSummary { try await self.control().members.nodes() }

    /// Sends a member away for good: it gets nothing from the moment on at which the other nodes learn of it.
    ///
    /// - Parameter node: its id, the beginning of it, or its name.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `refused` when it may not sign, `usage`
    ///   for an unknown node.
    public func revoke(node: String) async throws { try await self.control().members.revoke(node: node) }

    /// Lets a member invite, renew certificates and revoke.
    ///
    /// - Parameter node: its id, the beginning of it, or its name.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `refused` when it does not hold the
    ///   clinic's own key, `usage` for an unknown node.
    public func grant(node: String) async throws { try await self.control().members.grant(node: node) }

    /// Gives a member another name; it takes it over when the change reaches it.
    ///
    /// - Throws: ``ClinicSyncError``: `usage` for what names no node or can be no name, `refused` for the name of another node.
    public func rename(node: String, to name: String) async throws {
        try await self.control().members.rename(node: node, to: name)
    }

    /// Lets a member be host in the present host's place; returns when it is.
    ///
    /// - Parameter node: its id, the beginning of it, or its name.
    /// - Throws: ``ClinicSyncError``: `usage` for what names no node, `refused` when it cannot be host, `timeout` when it was
    ///   not host within five seconds; then the present host goes on.
    public func transferHost(to node: String) async throws { try await self.control().members.transferHost(to: node) }

    /// Who wrote what in a row, and what it beat.
    ///
    /// - Parameter path: `TABLE/PK`, or `TABLE/PK/COLUMN` for one column; a key may hold slashes.
    /// - Returns: What is known of the row, also when it was deleted or is hidden.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `usage` for what names no table or row.
    public func why(_ path: String) async throws -> WhySummary { try await self.control().conflicts.why(path) }

    /// What lost to something else: the newest entries of the clinic's conflict journal.
    ///
    /// - Parameter includingResolved: whether also those that somebody dealt with.
    /// - Returns: At most 500 entries, newest first, with long values cut.
    /// - Throws: ``ClinicSyncError`` of code `notReachable` while the node does not run.
    public func conflicts(includingResolved: Bool = false) async throws -> ConflictsSummary {
        try await self.control().conflicts.conflicts(includingResolved ? .all : .open)
    }

    /// Deals with a conflict, for all PCs: keeps what the row shows, or does what lost in its place, as an edit of this PC.
    ///
    /// - Parameters:
    ///   - id: ``ConflictSummary/id``, or six digits of its beginning at least.
    ///   - keepOther: whether the value that lost is to be in the table.
    ///   - expected: what the person saw as the current value; another one there now is refused.
    /// - Returns: The conflict as it is afterwards.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `notFound`, `usage` when several ids begin like
    ///   this, and `refused` when it was dealt with before, the row is gone or changed, a constraint says no, or the conflict is of a
    ///   kind that only an edit ends (``ConflictSummary/canKeepOther``).
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

    /// Sends a notice to programs: they get an event `notice`, also on nodes that come back within a day.
    ///
    /// - Parameters:
    ///   - text: one line of 1 to 1,000 characters.
    ///   - node: only programs of this node: its id, the beginning of it, or its name.
    ///   - user: programs everywhere, as one about this user: the name by which the user logs in, or the id.
    /// - Returns: The notice's id, which is the event's ``NodeEvent/recordId``.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `usage`, `refused` for an unknown user.
    @discardableResult
    public func notify(_ text: String, node: String? = nil, user: String? = nil) async throws -> String {
        try await self.control().notices.notify(text, node: node, user: user)
    }

    /// Measures how long a change takes to arrive at every connected node.
    ///
    /// - Parameter timeout: how long to wait for answers.
    /// - Returns: What the nodes answered, and which did not.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `refused` during another measurement.
    public func probe(timeout: Duration = .seconds(10)) async throws -> ProbeSummary {
        try await self.control().probes.probe(timeout: timeout)
    }

    /// Makes a join code, on a node that may sign.
    ///
    /// - Parameters:
    ///   - ttl: how long it is good for.
    ///   - uses: how many nodes may join with it.
    /// - Returns: The code.
    /// - Throws: ``ClinicSyncError``: `notReachable` while the node does not run, `refused` when it may not sign.
    public func invite(ttl: Duration = .seconds(1_800), uses: Int = 1) async throws -> String {
        try await self.control().members.invite(ttl: ttl, uses: uses)
    }

    /// Committed changes and the node's own news, from now on or after a position.
    ///
    /// - Parameters:
    ///   - categories: `billing`, `patient`, `user`, `data`, `system`; empty: all.
    ///   - tables: changes of these tables only; empty: all.
    ///   - users: what is about these users only, by their ids; empty: all.
    ///   - since: ``NodeEvent/position`` of the last event seen; what came after it is given first.
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
            EventFilter(categories: Set(wanted), tables: tables, users: users, since: since)
        )
    }
}
