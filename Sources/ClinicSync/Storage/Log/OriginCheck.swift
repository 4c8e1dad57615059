import ClinicSyncCore
import ClinicSyncModel

/// Checks the authors in a file that is opened, before anything trusts their numbers.
///
/// Other tables name authors by their place in `clinicsync_origin`. So an entry that is missing or cannot be read would give
/// all later authors the names of others.
struct OriginCheck {
    /// The node as an author.
    let own: Origin
    /// The number of entries that ``AuthorNames/restore(in:)`` has corrected.
    var restored = 0
    /// The highest number that the node has used, as the file beside the database says; 0 when it says nothing.
    ///
    /// The node's own number is never corrected to less: another batch would get a number that peers know.
    var used: UInt64 = 0

    /// Repairs what makes no sense.
    ///
    /// - Returns: What was wrong.
    /// - Throws: what SQLite reports.
    func mend(in transaction: borrowing WriteTransaction) throws -> [DamageRepair] {
        var repairs: [DamageRepair] = []
        if self.restored > 0 {
            let damage = OwnDamage(.origin, "the names or numbers of authors were changed")
            repairs.append(DamageRepair(damage, count: self.restored, outcome: .rebuilt))
        }
        let gaps = try self.fillGaps(in: transaction)
        if gaps > 0 {
            let damage = OwnDamage(.origin, "an author is missing or cannot be read")
            repairs.append(DamageRepair(damage, count: gaps, outcome: .refetching))
        }
        let nameless = try self.removeNameless(in: transaction)
        if nameless > 0 {
            let damage = OwnDamage(.log, "nobody knows whose batches these are")
            repairs.append(DamageRepair(damage, count: nameless, outcome: .leftOut))
        }
        let seen = try self.mendSeen(in: transaction)
        if seen > 0 {
            let damage = OwnDamage(.origin, "what an author had seen cannot be read")
            repairs.append(DamageRepair(damage, count: seen, outcome: .rebuilt))
        }
        let floors = try self.mendFloors(in: transaction)
        if floors > 0 {
            let damage = OwnDamage(.origin, "the number of an author's newest batch that was pruned makes no sense")
            repairs.append(DamageRepair(damage, count: floors, outcome: .rebuilt))
        }
        let numbers = try self.mendNumbers(in: transaction)
        if numbers > 0 {
            let damage = OwnDamage(.origin, "the number of an author's newest batch is not in the log")
            repairs.append(DamageRepair(damage, count: numbers, outcome: .rebuilt))
        }
        return repairs
    }

    // MARK: - Entries

    private func fillGaps(in transaction: borrowing WriteTransaction) throws -> Int {
        try transaction
            .statement("DELETE FROM clinicsync_origin WHERE id < 0 OR typeof(node) <> 'blob' OR length(node) <> 16")
            .run()
        var ids: [Int64] = []
        try transaction.connection.query("SELECT id FROM clinicsync_origin ORDER BY id").forEach {
            ids.append($0.int64(0))
        }
        let far = ids.filter { $0 >= OriginCheck.authorsMax }
        ids.removeLast(far.count)
        guard let known = ids.last else { return 0 }
        let last = try self.lastUsed(after: known, on: transaction.connection)
        let present = Set(ids)
        var missing = (0...last).filter { !present.contains($0) }
        // Authors are numbered without gaps. So a single author with an impossible number has the one that is missing.
        let isMoved = far.count == 1 && missing.count <= 1
        for id in far {
            let sql =
                isMoved
                ? "UPDATE clinicsync_origin SET id = ?2 WHERE id = ?1" : "DELETE FROM clinicsync_origin WHERE id = ?1"
            let statement = try transaction.statement(sql).bind(1, id)
            if isMoved { statement.bind(2, missing.first ?? last &+ 1) }
            try statement.run()
        }
        if isMoved { missing = [] }
        guard !missing.isEmpty else { return far.count }
        let isOwnThere =
            try transaction.connection
            .query("SELECT 1 FROM clinicsync_origin WHERE node = ?1 AND incarnation = ?2")
            .bind(1, blob: self.own.node.storedBytes)
            .bind(2, self.own.incarnation)
            .first { _ in true } ?? false
        for id in missing {
            // A file always has its own node as an author. So a single missing author is this node.
            let origin = missing.count == 1 && !isOwnThere && id > 0 ? self.own : Origin.unknown(id)
            try transaction.statement("INSERT INTO clinicsync_origin (id, node, incarnation) VALUES (?1, ?2, ?3)")
                .bind(1, id)
                .bind(2, blob: origin.node.storedBytes)
                .bind(3, origin.incarnation)
                .run()
            guard origin != self.own else { continue }
            // Nobody can tell whose batches these are. Those of members come again, under their name.
            try transaction.statement("DELETE FROM clinicsync_log WHERE origin = ?1").bind(1, id).run()
        }
        return missing.count + far.count
    }

    /// More authors than any clinic has ever had.
    private static let authorsMax: Int64 = 1 << 16

    /// The number of the last author, when `known` is the number of the last one that has an entry.
    ///
    /// The log may have batches of authors whose entries are lost. Authors are numbered without gaps. So a larger number with a
    /// gap before it is damage of the log. The copy of the names, where the file has one, says how many authors there are.
    private func lastUsed(after known: Int64, on connection: Connection) throws -> Int64 {
        guard try AuthorNames.read(on: connection).isEmpty else { return known }
        let used =
            try connection
            .query("SELECT max(origin), count(DISTINCT origin) FROM clinicsync_log WHERE origin > ?1")
            .bind(1, known)
            .first { (last: $0.int64(0), count: $0.int64(1)) }
        guard let used, used.count > 0, used.last == known &+ used.count else { return known }
        return used.last
    }

    /// Removes chunks of authors that have no entry: the next new author would get the number, and the chunks with it.
    private func removeNameless(in transaction: borrowing WriteTransaction) throws -> Int {
        try transaction
            .statement("DELETE FROM clinicsync_log WHERE origin NOT IN (SELECT id FROM clinicsync_origin)")
            .run()
        return transaction.changes
    }

    private func mendSeen(in transaction: borrowing WriteTransaction) throws -> Int {
        var damaged: [Int64] = []
        try transaction.connection.query("SELECT id, seen FROM clinicsync_origin").forEach { row in
            do { _ = try VectorCoding.decode(row.blob(1)) } catch { damaged.append(row.int64(0)) }
        }
        for id in damaged {
            // The author's next batch says again what the author had seen.
            try transaction.statement("UPDATE clinicsync_origin SET seen = x'' WHERE id = ?1").bind(1, id).run()
        }
        return damaged.count
    }

    // MARK: - Numbers

    /// Corrects floors (``LogFloor``) that are no numbers, or above the author's newest applied batch.
    ///
    /// Then the author's first batch in the log decides, as far as its batches are applied. The batches that are missing above a
    /// floor that is too low are fetched or left out like those of a damaged log.
    private func mendFloors(in transaction: borrowing WriteTransaction) throws -> Int {
        // The node's own entry that was lost, or whose number is too low, is made again from the log: no other node can replace it.
        try transaction
            .statement(
                """
                UPDATE clinicsync_origin AS o SET (floor, sequence) = (l.first - 1, l.first - 1)
                FROM (SELECT origin, min(sequence) AS first FROM clinicsync_log GROUP BY origin) AS l
                WHERE l.origin = o.id AND o.node = ?1 AND o.incarnation = ?2 AND l.first > 1
                AND ((o.sequence < o.floor AND o.floor = l.first - 1) OR (o.sequence = 0 AND o.floor = 0))
                """
            )
            .bind(1, blob: self.own.node.storedBytes)
            .bind(2, self.own.incarnation)
            .run()
        let count = transaction.changes
        try transaction
            .statement(
                """
                UPDATE clinicsync_origin SET floor = max(0, min(sequence,
                coalesce((SELECT min(l.sequence) - 1 FROM clinicsync_log l WHERE l.origin = clinicsync_origin.id), sequence)))
                WHERE typeof(floor) <> 'integer' OR floor < 0 OR floor > max(0, sequence)
                """
            )
            .run()
        return try count + transaction.changes + self.raiseFloors(in: transaction)
    }

    /// So many of an author's batches may be missing at the front of its log, or all of them, and count as damage of the log.
    private static let lostMax: Int64 = 64

    /// Raises floors that are far below the author's first batch in the log.
    ///
    /// Of a log that lost so many batches nobody can be served. Who needs them gets the state.
    private func raiseFloors(in transaction: borrowing WriteTransaction) throws -> Int {
        // A log from which nothing was ever removed says that the number is wrong, not the floor.
        guard try !self.isLogWhole(on: transaction.connection) else { return 0 }
        try transaction
            .statement(
                """
                UPDATE clinicsync_origin AS o SET floor = g.last FROM (
                SELECT p.id AS id, min(p.sequence, coalesce((SELECT min(l.sequence) - 1 FROM clinicsync_log l
                WHERE l.origin = p.id AND l.sequence > p.floor), p.sequence)) AS last FROM clinicsync_origin p) AS g
                WHERE g.id = o.id AND o.id > 0 AND g.last - o.floor > ?1
                """
            )
            .bind(1, OriginCheck.lostMax)
            .run()
        return transaction.changes
    }

    /// Compares how far each author's batches are said to be applied with the batches in the log.
    private func mendNumbers(in transaction: borrowing WriteTransaction) throws -> Int {
        let connection = transaction.connection
        let stray = try self.removeStrayOwn(in: transaction) + self.mendGenesis(in: transaction)
        let isWhole = try self.isLogWhole(on: connection)
        var wrong: [(id: Int64, sequence: Int64)] = []
        try connection
            .query(
                """
                SELECT o.id, o.sequence, o.node, o.incarnation,
                max(o.floor, coalesce((SELECT max(l.sequence) FROM clinicsync_log l WHERE l.origin = o.id AND l.isLast = 1), 0)),
                coalesce((SELECT min(l.sequence) FROM clinicsync_log l WHERE l.origin = o.id AND l.sequence > o.floor), 0),
                o.floor
                FROM clinicsync_origin o WHERE o.id > 0
                """
            )
            .forEach { row in
                let (sequence, first, floor) = (row.int64(1), row.int64(5), row.int64(6))
                let isOwn =
                    NodeID(storedBytes: row.blob(2)) == self.own.node && row.int64(3) == Int64(self.own.incarnation)
                // A batch that was used and is not in the log is a hole in the log.
                let logged = max(row.int64(4), isOwn ? min(sequence, Int64(clamping: self.used)) : 0)
                // A log that begins above the floor is damaged itself and proves nothing: its holes are filled. One without any
                // batch proves that peers' batches are to come again; own numbers must not be given twice.
                guard first == floor &+ 1 || (first == 0 && (isWhole || !isOwn)) else { return }
                // The batches of others above the number are applied in their turn; own ones are applied when they are logged.
                if sequence > logged || sequence < 0 || (isOwn && sequence < logged) {
                    wrong.append((row.int64(0), logged))
                }
            }
        for entry in wrong {
            try transaction.statement("UPDATE clinicsync_origin SET sequence = ?2 WHERE id = ?1")
                .bind(1, entry.id)
                .bind(2, entry.sequence)
                .run()
        }
        return wrong.count + stray
    }

    /// Corrects the number of the author of the seed rows, who makes no batches.
    private func mendGenesis(in transaction: borrowing WriteTransaction) throws -> Int {
        try transaction
            .statement(
                """
                UPDATE clinicsync_origin SET sequence = 0, floor = 0
                WHERE node = ?1 AND incarnation = 0 AND (sequence <> 0 OR floor <> 0)
                """
            )
            .bind(1, blob: Origin.genesis.node.storedBytes)
            .run()
        return transaction.changes
    }

    /// Removes chunks of this node with numbers behind a gap.
    ///
    /// A batch of this node counts as applied as soon as it is in the log. So such a number was changed in the log.
    private func removeStrayOwn(in transaction: borrowing WriteTransaction) throws -> Int {
        let own =
            try transaction.connection
            .query(
                """
                SELECT o.id, o.sequence, max(l.sequence), count(DISTINCT l.sequence) FROM clinicsync_origin o
                JOIN clinicsync_log l ON l.origin = o.id AND l.sequence > o.sequence
                WHERE o.node = ?1 AND o.incarnation = ?2
                """
            )
            .bind(1, blob: self.own.node.storedBytes)
            .bind(2, self.own.incarnation)
            .first { (id: $0.int64(0), applied: $0.int64(1), last: $0.int64(2), count: $0.int64(3)) }
        guard let own, own.count > 0, own.last != own.applied &+ own.count else { return 0 }
        try transaction.statement("DELETE FROM clinicsync_log WHERE origin = ?1 AND sequence > ?2 + 1")
            .bind(1, own.id)
            .bind(2, own.applied)
            .run()
        return transaction.changes
    }

    /// Whether no chunk was ever removed from the log.
    private func isLogWhole(on connection: Connection) throws -> Bool {
        let logged = try connection.query("SELECT seq FROM sqlite_sequence WHERE name = 'clinicsync_log'")
            .first { $0.int64(0) }
        return try connection.query("SELECT count(*) FROM clinicsync_log").first { $0.int64(0) } == logged ?? 0
    }
}

extension Origin {
    /// Stands for an author whose entry in `clinicsync_origin` is lost; real authors win against it in ties.
    fileprivate static func unknown(_ id: Int64) -> Origin {
        Origin(node: Origin.genesis.node, incarnation: 1 << 31 | UInt32(truncatingIfNeeded: id))
    }
}
