import ClinicSyncCore
import ClinicSyncModel

/// What every active member has: the batches that the logs of all nodes may lose.
///
/// A host decides it: a client knows only its host's progress. It writes what it found into the replicated table
/// `clinicsync_horizon`, and every node prunes by this row alone. It also decides who has lapsed (``Lapses``).
///
/// A horizon that was decided too early, or by a program, harms nobody: who lacks a batch that the logs do not have gets the state.
/// See `docs/design/0025-pruning.md`.
struct Horizon {
    /// The table.
    static let table = ForgottenRows.table
    /// The key of its only row.
    private static let key = ForgottenRows.key
    /// The host writes the row again after this time at the earliest.
    private static let intervalMilliseconds: Int64 = 3_600_000

    let members: Members
    let programRows: ProgramRows
    let clock: StoreClock
    let silenceMilliseconds: Int64
    private var origins: Origins { self.members.origins }

    /// What the host is to write.
    struct Decision {
        /// The new horizon; `nil` when the present one stays.
        var vector: VersionVector?
        /// The deletions that nodes may forget; with ``vector``.
        var forgotten = VersionVector()
        /// Members that lapse.
        var lapses: [NodeID] = []
        /// Members that are active again.
        var returns: [NodeID] = []
        /// Members of which nothing is known, so that their silence is counted from now on.
        var unheard: [NodeID] = []
        /// Rows of the two tables that are about no member: the tables' names and the rows' keys.
        var strays: [(table: String, key: SQLiteValue)] = []

        /// Whether there is nothing to write.
        var isEmpty: Bool {
            self.vector == nil && self.lapses.isEmpty && self.returns.isEmpty && self.unheard.isEmpty
                && self.strays.isEmpty
        }
    }

    // MARK: - Reading

    /// What every active member has; `nil` until a host has decided it, and when the row cannot be read.
    func vector(on connection: Connection) throws -> VersionVector? { try self.row(on: connection)?.vector }

    private func row(on connection: Connection) throws -> (vector: VersionVector, at: Int64)? {
        guard try connection.hasTable(Horizon.table) else { return nil }
        return try connection.query("SELECT vector, at FROM clinicsync_horizon WHERE id = ?1")
            .bind(1, text: Horizon.key)
            .first { row in
                // Any program may have written it.
                do { return (try VectorCoding.decode(row.blob(0)), row.int64(1)) } catch { return nil }
            } ?? nil
    }

    // MARK: - Deciding

    /// What the host decides now.
    ///
    /// - Parameters:
    ///   - presence: the members, and who is connected.
    ///   - retentionMilliseconds: how long the log is kept at least.
    ///   - connection: the connection that reads.
    /// - Returns: The decision.
    /// - Throws: ``OwnDamage`` when the progress of a member cannot be read; what SQLite reports.
    func decide(
        _ presence: MemberPresence,
        retentionMilliseconds: Int64,
        on connection: Connection
    ) throws -> Decision {
        let known = try self.row(on: connection)
        let progress = try self.members.progress(on: connection)
        let linked = Set(presence.linked)
        let nodes = presence.members.isEmpty ? progress.keys.sorted() : presence.members
        let lapsed = Set(try Lapses.decided(among: nodes, on: connection))
        var decision = Decision()
        // Without a list of members and without having met one, nothing is known: there may be members.
        let plans = self.programRows.rows.plans
        guard !nodes.isEmpty, plans[Horizon.table] != nil, plans[Lapses.table] != nil else { return decision }
        if !presence.members.isEmpty { decision.strays = try self.strays(among: presence.members, on: connection) }
        var common = self.origins.vector
        for node in nodes where node != self.origins.own.node {
            let isLinked = linked.contains(node)
            // What every active member had then it has still.
            var vector = progress[node]?.vector ?? VersionVector()
            if lapsed.contains(node) {
                guard isLinked, vector.covers(known?.vector ?? VersionVector()) else { continue }
                decision.returns.append(node)
            } else if !isLinked {
                // What nobody signed does not count: it could have everybody lapse.
                let seen = max(progress[node]?.seenMilliseconds ?? 0, presence.days[node] ?? 0)
                if seen == 0 {
                    decision.unheard.append(node)
                } else if seen < presence.clinicMilliseconds &- self.silenceMilliseconds {
                    decision.lapses.append(node)
                    continue
                }
            }
            if let known { vector.merge(known.vector) }
            common = common.meet(vector)
        }
        if let known { common.merge(known.vector) }
        let isHigher = !(known?.vector ?? VersionVector()).covers(common)
        if isHigher, try self.isDue(known?.at, presence, retention: retentionMilliseconds, on: connection) {
            decision.vector = common
            // What this log has lost every active member has, and has had for as long as the log is kept.
            // A program may have written numbers that there are not yet: of later deletions they would say too much.
            decision.forgotten = try ForgottenRows.decided(plans, on: connection).vector.meet(self.origins.vector)
            decision.forgotten.merge(self.origins.floor.gone.meet(common))
        }
        return decision
    }

    /// The most rows about no member that one decision removes.
    private static let straysMax = 64

    /// The rows that a former member, or a program, left.
    private func strays(
        among members: [NodeID],
        on connection: Connection
    ) throws -> [(table: String, key: SQLiteValue)] {
        var strays = try Lapses.strays(among: members, limit: Horizon.straysMax, on: connection)
            .map { (table: Lapses.table, key: $0) }
        guard try connection.hasTable(Horizon.table) else { return strays }
        try connection.query("SELECT id FROM clinicsync_horizon WHERE id <> ?1 LIMIT ?2")
            .bind(1, text: Horizon.key)
            .bind(2, Horizon.straysMax)
            .forEach { strays.append((table: Horizon.table, key: $0.ref(0).value)) }
        return strays
    }

    /// Whether the horizon is to be written again: not often, and only if the log has anything that is old enough.
    private func isDue(
        _ written: Int64?,
        _ presence: MemberPresence,
        retention: Int64,
        on connection: Connection
    ) throws -> Bool {
        let oldest = try connection.query("SELECT storedAt FROM clinicsync_log ORDER BY position LIMIT 1")
            .first { $0.int64(0) }
        guard let oldest, oldest < self.clock.wallMilliseconds &- retention else { return false }
        guard let written, written <= presence.clinicMilliseconds else { return true }
        return presence.clinicMilliseconds &- written >= min(Horizon.intervalMilliseconds, retention / 8)
    }

    // MARK: - Writing

    /// Writes a decision as rows for all nodes, which are marked.
    ///
    /// - Throws: what SQLite reports.
    func write(_ decision: Decision, at clinicMilliseconds: Int64, in transaction: borrowing WriteTransaction) throws {
        let host = SQLiteValue.string(self.origins.own.node.description)
        let now = SQLiteValue.integer(clinicMilliseconds)
        let plans = self.programRows.rows.plans
        if let vector = decision.vector, let plan = plans[Horizon.table] {
            var values: [String: SQLiteValue] = [
                "id": .string(Horizon.key), "vector": .blob(VectorCoding.encode(vector)), "at": now, "host": host,
            ]
            if ForgottenRows.areDecided(plans) { values["forgotten"] = .blob(VectorCoding.encode(decision.forgotten)) }
            try self.programRows.put(plan, values: values, in: transaction)
        }
        if let plan = plans[Lapses.table] {
            for node in decision.lapses {
                let values: [String: SQLiteValue] = ["node": .string(node.description), "since": now, "host": host]
                try self.programRows.put(plan, values: values, in: transaction)
            }
            for node in decision.returns {
                _ = try self.programRows.delete(plan, key: .string(node.description), in: transaction)
            }
        }
        for stray in decision.strays {
            guard let plan = plans[stray.table] else { continue }
            _ = try self.programRows.delete(plan, key: stray.key, in: transaction)
        }
        let unheard = decision.unheard.map {
            MemberProgress(node: $0, vector: VersionVector(), seenMilliseconds: clinicMilliseconds)
        }
        try self.members.record(unheard, in: transaction)
    }
}
