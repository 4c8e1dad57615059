import ClinicSyncModel
import Foundation
import GRDB

/// Decides whether a destructive migration may be applied, and which rules apply until then.
///
/// A node whose program lacks the migration still sends and needs the columns and tables that the migration removes. So
/// the migration waits until every active member's program has it. A member is active when it is neither revoked nor
/// lapsed (``Lapses``), and has come to the clinic: one that has joined and sent nothing yet has nothing to lose.
struct MigrationGate {
    /// The file's node.
    let owner: NodeID
    /// Whether the file is new and joins an existing clinic.
    let isJoining: Bool
    /// This PC's time.
    let wallMilliseconds: Int64
    /// Decides whose rows count; `nil`: everybody's that no row revokes.
    let judge: MemberListing.Judge?
    /// The names of the members for which the migration waited at the last call of ``permits(_:version:)``.
    private(set) var laggards: [String] = []

    private static let namesMax = 5

    /// Makes a gate for one opening.
    init(owner: NodeID, isJoining: Bool, wallMilliseconds: Int64, judge: MemberListing.Judge? = nil) {
        self.owner = owner
        self.isJoining = isJoining
        self.wallMilliseconds = wallMilliseconds
        self.judge = judge
    }

    /// Whether every active member's program has the migration with the number `version`.
    mutating func permits(_ db: Database, version: UInt32) throws -> Bool {
        self.laggards = []
        if self.isJoining { return false }
        guard try db.tableExists("clinicsync_node"),
            try db.columns(in: "clinicsync_node").contains(where: { $0.name == "aliveAt" })
        else { return true }
        let others = try self.others(db)
        if others.isEmpty { return try !self.hasJoined(db) }
        let lapsed = try self.lapsed(others, db)
        for node in others where node.schemaVersion < Int64(version) && !lapsed.contains(node.id) {
            self.laggards.append(node.name.isEmpty ? node.id.description : node.name)
        }
        return self.laggards.isEmpty
    }

    /// The members other than this node, in the order of their names.
    ///
    /// A forged row would hold a migration back for ever, or let it begin too early.
    private func others(_ db: Database) throws -> [MemberListing.Node] {
        let listing = try MemberListing.read(db)
        var members = listing.nodes
        if let judge = self.judge {
            members = try self.arrived(judge(listing), listing, db)
        } else {
            let rows = try DatabaseValue.fetchAll(db, sql: "SELECT node FROM clinicsync_revocation")
            let revoked = Set(rows.compactMap { String.fromDatabaseValue($0) })
            members.removeAll { revoked.contains($0.id.description) }
        }
        return members.filter { $0.id != self.owner }.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
    }

    /// Leaves out the members that have joined and never came: only their certificates are known.
    ///
    /// A member signs a statement, writes its row, and has a batch of its own, from its first run on. Others can remove the row, and
    /// nobody can remove what this node has of the other two.
    private func arrived(
        _ members: [MemberListing.Node],
        _ listing: MemberListing,
        _ db: Database
    ) throws -> [MemberListing.Node] {
        let listed = Set(listing.nodes.map(\.id))
        return try members.filter { member in
            if !member.statement.isEmpty || listed.contains(member.id) { return true }
            let arguments: StatementArguments = [Data(member.id.storedBytes)]
            let sql = "SELECT EXISTS (SELECT 1 FROM clinicsync_origin WHERE node = ? AND sequence > 0)"
            return try Bool.fetchOne(db, sql: sql, arguments: arguments) ?? true
        }
    }

    /// Those members that have lapsed, by a host's decision and by their own signed statements.
    private func lapsed(_ members: [MemberListing.Node], _ db: Database) throws -> [NodeID] {
        guard try db.tableExists(Lapses.table) else { return [] }
        let connection = try Connection(db)
        defer { connection.finalizeStatements() }
        let stated = members.filter { self.judge == nil || !$0.statement.isEmpty }.map { ($0.id, $0.aliveAt) }
        return try Lapses.confirmed(
            among: members.map(\.id),
            days: Dictionary(stated, uniquingKeysWith: { first, _ in first }),
            at: self.wallMilliseconds,
            on: connection
        )
    }

    private func hasJoined(_ db: Database) throws -> Bool {
        try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM clinicsync_setting WHERE name = 'joined')") ?? false
    }

    /// The rules that apply: the program's rules, or the rules of the last program version whose migrations are all
    /// applied.
    func manifest(_ text: String, _ db: Database, _ migrated: ClinicMigrator.Outcome) throws -> Manifest {
        let current = try Manifest(json: text)
        guard try db.tableExists("clinicsync_setting") else { return current }
        guard migrated.held.isEmpty else {
            let kept = try DatabaseValue.fetchOne(
                db,
                sql: "SELECT value FROM clinicsync_setting WHERE name = 'manifest'"
            )
            let earlier = kept.flatMap { String.fromDatabaseValue($0) }
            let tables = try Set(String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'table'"))
            return try current.heldBack(to: earlier.map { try Manifest(json: $0) } ?? current, tables: tables)
        }
        try db.execute(
            sql: """
                INSERT INTO clinicsync_setting (name, value) VALUES ('manifest', ?)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value <> excluded.value
                """,
            arguments: [text]
        )
        return current
    }

    /// Notes which migration waits and for which members, so that `status` can show it.
    func note(_ db: Database, _ migrated: ClinicMigrator.Outcome) throws {
        guard try db.tableExists("clinicsync_waiting") else { return }
        if migrated.isNew, self.isJoining {
            try db.execute(sql: "INSERT OR REPLACE INTO clinicsync_setting (name, value) VALUES ('joined', 1)")
        }
        try db.execute(
            sql: "DELETE FROM clinicsync_waiting WHERE tableId = 0 AND typeof(pk) = 'blob' AND substr(pk, 1, 1) = x'03'"
        )
        guard let name = migrated.held.first, case .blob(let key) = StoreNote.migration(name).key else { return }
        try db.execute(
            sql: "INSERT INTO clinicsync_waiting (tableId, pk, reason, since) VALUES (0, ?, ?, ?)",
            arguments: [Data(key), self.reason(name), self.wallMilliseconds]
        )
    }

    private func reason(_ migration: String) -> String {
        guard !self.laggards.isEmpty else {
            return "the migration \(migration) waits until this node has met the others: start it again then"
        }
        var names = self.laggards.prefix(Self.namesMax).joined(separator: ", ")
        if self.laggards.count > Self.namesMax { names += " and \(self.laggards.count - Self.namesMax) more" }
        return
            "the migration \(migration) waits for \(names): update the program there, or revoke what is gone, and start again"
    }
}
