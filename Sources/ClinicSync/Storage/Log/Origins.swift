import ClinicSyncModel

/// The authors of batches: the table `clinicsync_origin`.
///
/// The file gives each author a small number, which its other tables use. For each author, the table has the number up
/// to which this node has applied the author's batches, the number up to which they are no longer in the log, and the vector of
/// the batches that the author had applied.
final class Origins: TransactionPart {
    /// The node's knowledge of an author.
    private struct Entry {
        var origin: Origin
        /// The number up to which all batches of the author are applied.
        var sequence: UInt64
        /// The batches that the author had applied when it made the newest of these batches.
        var seen: VersionVector
        /// The author's largest stamp.
        var timestamp: UInt64
        /// The number up to which the author's batches are no longer in the log.
        var floor: UInt64
        var isChanged = false
    }

    /// The state that a rollback restores.
    private struct State {
        /// The entries by the author's small number.
        var entries: [Entry] = []
        /// The authors by their small numbers.
        var names: [Origin] = []
        var ids: [Origin: Int] = [:]

        mutating func add(_ entry: Entry) {
            self.ids[entry.origin] = self.entries.count
            self.names.append(entry.origin)
            self.entries.append(entry)
        }
    }

    /// The node itself as an author.
    let own: Origin
    /// The node's own small number.
    let ownID: Int
    private var state: State
    /// `PRAGMA schema_version` when the table last said what this node knows; `nil` before the first transaction.
    private var schemaVersion: Int64?
    /// A number of this opening, which the file has; a copy that an earlier opening left has another.
    private let opening: Int64

    /// Reads the table and gives `own` a number if it has none.
    ///
    /// - Throws: ``MalformedRecord``, or what SQLite reports.
    init(own: Origin, in transaction: borrowing WriteTransaction) throws {
        var state = State()
        try transaction
            .statement("SELECT node, incarnation, sequence, seen, timestamp, floor FROM clinicsync_origin ORDER BY id")
            .forEach { row in
                guard let node = NodeID(storedBytes: row.blob(0)) else {
                    throw MalformedRecord(reason: "an origin's id is not 16 bytes")
                }
                state.add(
                    Entry(
                        origin: Origin(node: node, incarnation: try row.incarnation(1)),
                        sequence: try row.sequence(2),
                        seen: try VectorCoding.decode(row.blob(3)),
                        timestamp: HybridTimestamp(rawValue: row.unsigned(4)).rawValue,
                        floor: try row.sequence(5)
                    )
                )
            }
        if let known = state.ids[own] {
            self.ownID = known
        } else {
            self.ownID = state.entries.count
            try Origins.insert(own, id: state.entries.count, in: transaction)
            state.add(Entry(origin: own, sequence: 0, seen: VersionVector(), timestamp: 0, floor: 0))
        }
        if try AuthorNames.read(on: transaction.connection) != state.names {
            try AuthorNames.write(state.names, in: transaction)
        }
        // Always eight bytes, so that the file does not depend on the number.
        self.opening = Int64.random(in: 1 << 56 ... .max)
        try Settings.set(.opening, to: .integer(self.opening), in: transaction)
        self.own = own
        self.state = state
        // An author can have seen only what there is, and its batches are applied here only after what it had seen. A larger
        // claim in the file is damage: with it, what others write would count as seen and lost without an entry.
        let vector = self.vector
        for id in self.state.entries.indices where !vector.covers(self.state.entries[id].seen) {
            self.state.entries[id].seen = self.state.entries[id].seen.meet(vector)
            self.state.entries[id].isChanged = true
        }
    }

    func memory() -> () -> Void {
        let saved = self.state
        return { self.state = saved }
    }

    /// Makes sure that the file is the one that this node wrote last.
    ///
    /// - Throws: ``StoreError/overwritten``; what SQLite reports.
    func didBegin(_ transaction: borrowing WriteTransaction) throws {
        guard try !self.isOverwritten(on: transaction.connection) else { throw StoreError.overwritten }
        self.schemaVersion = try Transactions.schemaVersion(on: transaction.connection)
    }

    /// Whether another database was copied into the file, for example by `.restore` of the `sqlite3` shell.
    ///
    /// SQLite's backup always raises the version of the schema. Then the number of the opening decides, and for a copy of the
    /// same opening the authors' progress: it differs from this node's unless the copy is from this very moment.
    func isOverwritten(on connection: Connection) throws -> Bool {
        guard let known = self.schemaVersion, try Transactions.schemaVersion(on: connection) != known else {
            return false
        }
        let hasFloor = "SELECT 1 FROM pragma_table_info('clinicsync_origin') WHERE name = 'floor'"
        // The copy can be of an older version.
        guard try connection.query(hasFloor).first({ _ in true }) == true,
            try connection.hasTable("clinicsync_setting")
        else { return true }
        let opening = try Settings.read(.opening, on: connection) { $0.int64(0) }
        return try opening != self.opening || !self.isAsWritten(on: connection)
    }

    func willCommit(_ transaction: borrowing WriteTransaction) throws {
        for (id, entry) in self.state.entries.enumerated() where entry.isChanged {
            try transaction
                .statement(
                    "UPDATE clinicsync_origin SET sequence = ?2, seen = ?3, timestamp = ?4, floor = ?5 WHERE id = ?1"
                )
                .bind(1, id)
                .bind(2, entry.sequence)
                .bind(3, blob: VectorCoding.encode(entry.seen))
                .bind(4, entry.timestamp)
                .bind(5, entry.floor)
                .run()
            self.state.entries[id].isChanged = false
        }
    }

    /// Whether the table says what this node knows of every author.
    ///
    /// Only this node writes the table. So another content is damage.
    func isAsWritten(on connection: Connection) throws -> Bool {
        var next = 0
        var isSame = true
        try connection
            .query("SELECT id, node, incarnation, sequence, floor FROM clinicsync_origin ORDER BY id")
            .forEach { row in
                defer { next += 1 }
                guard next < self.state.entries.count else { return isSame = false }
                let entry = self.state.entries[next]
                let isEqual =
                    row.int64(0) == Int64(clamping: next) && NodeID(storedBytes: row.blob(1)) == entry.origin.node
                    && row.int64(2) == Int64(entry.origin.incarnation)
                    && row.int64(3) == Int64(bitPattern: entry.sequence)
                    && row.int64(4) == Int64(bitPattern: entry.floor)
                if !isEqual { isSame = false }
            }
        return isSame && next == self.state.entries.count
    }

    /// Writes every author and its progress as this node knows them, over what the table says.
    ///
    /// - Returns: The number of entries that the table had otherwise.
    func rewrite(in transaction: borrowing WriteTransaction) throws -> Int {
        var count = 0
        for (id, entry) in self.state.entries.enumerated() {
            try transaction
                .statement(
                    """
                    INSERT INTO clinicsync_origin (id, node, incarnation, sequence, seen, timestamp, floor)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE
                    SET id = ?1, node = ?2, incarnation = ?3, sequence = ?4, seen = ?5, timestamp = ?6, floor = ?7
                    WHERE (id, node, incarnation, sequence, seen, timestamp, floor) IS NOT (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                    """
                )
                .bind(1, id)
                .bind(2, blob: entry.origin.node.storedBytes)
                .bind(3, entry.origin.incarnation)
                .bind(4, entry.sequence)
                .bind(5, blob: VectorCoding.encode(entry.seen))
                .bind(6, entry.timestamp)
                .bind(7, entry.floor)
                .run()
            count += transaction.changes
        }
        try transaction.statement("DELETE FROM clinicsync_origin WHERE id < 0 OR id >= ?1")
            .bind(1, self.state.entries.count)
            .run()
        return count + transaction.changes
    }

    // MARK: - Names

    /// The authors by their small numbers.
    var names: [Origin] { self.state.names }

    /// The small numbers of all authors.
    var ids: Range<Int> { self.state.entries.indices }

    /// How many incarnations of this node there were before the present one.
    var formerIncarnations: Int { self.names.count { $0.node == self.own.node } - 1 }

    /// The small number of `origin`; `nil` when it has none.
    func id(of origin: Origin) -> Int? { self.state.ids[origin] }

    /// The small number of `origin`; assigns a number when the file sees `origin` for the first time.
    func id(of origin: Origin, in transaction: borrowing WriteTransaction) throws -> Int {
        if let id = self.state.ids[origin] { return id }
        let id = self.state.entries.count
        try Origins.insert(origin, id: id, in: transaction)
        self.state.add(Entry(origin: origin, sequence: 0, seen: VersionVector(), timestamp: 0, floor: 0))
        try AuthorNames.write(self.state.names, in: transaction)
        return id
    }

    /// The incarnations that one node can have in this file; each copy, restore or move of its files takes one.
    static let incarnationsMax = 256
    /// The authors that can be in this file; well below the number of entries that a vector can have on the wire.
    static let originsMax = 3_072

    /// Whether the file takes an author that it does not know yet.
    ///
    /// The limits keep a node that makes up incarnations from filling the vectors of all.
    func hasRoom(for origin: Origin) -> Bool {
        if origin.node == self.own.node { return true }
        guard self.state.entries.count < Origins.originsMax else { return false }
        return self.state.names.count { $0.node == origin.node } < Origins.incarnationsMax
    }

    private static func insert(_ origin: Origin, id: Int, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement("INSERT INTO clinicsync_origin (id, node, incarnation) VALUES (?1, ?2, ?3)")
            .bind(1, id)
            .bind(2, blob: origin.node.storedBytes)
            .bind(3, origin.incarnation)
            .run()
    }

    /// The author with a small number.
    func origin(_ id: Int) throws -> Origin {
        guard self.state.names.indices.contains(id) else { throw MalformedRecord(reason: "an author is not known") }
        return self.state.names[id]
    }

    /// `version` with its author's small number.
    func local(_ version: Version, in transaction: borrowing WriteTransaction) throws -> LocalVersion {
        LocalVersion(
            timestamp: version.timestamp.rawValue,
            origin: try self.id(of: version.origin, in: transaction),
            sequence: version.sequence
        )
    }

    /// `version` with its author's name.
    func global(_ version: LocalVersion) throws -> Version {
        Version(
            timestamp: HybridTimestamp(rawValue: version.timestamp),
            origin: try self.origin(version.origin),
            sequence: version.sequence
        )
    }

    // MARK: - Progress

    /// The vector of the applied batches.
    var vector: VersionVector {
        VersionVector(
            self.state.entries.lazy.map { VersionVector.Entry(origin: $0.origin, sequence: $0.sequence) }
        )
    }

    /// The number of the newest applied batch of an author.
    func sequence(of id: Int) -> UInt64 { self.state.entries[id].sequence }

    /// The number of the newest applied batch of an author; 0 when there is none.
    func sequence(of origin: Origin) -> UInt64 { self.state.ids[origin].map { self.state.entries[$0].sequence } ?? 0 }

    /// The batches that an author had applied when it made the newest batch that is applied here.
    func seen(by id: Int) -> VersionVector { self.state.entries[id].seen }

    /// An author's largest stamp.
    func timestamp(of id: Int) -> HybridTimestamp { HybridTimestamp(rawValue: self.state.entries[id].timestamp) }

    /// Notes that an author had applied `dependencies` when it made its next batch.
    func noteSeen(_ dependencies: VersionVector, by id: Int) { self.state.entries[id].seen.merge(dependencies) }

    /// Notes that a batch of an author is applied.
    func advance(_ id: Int, to sequence: UInt64, timestamp: HybridTimestamp? = nil) {
        self.state.entries[id].sequence = sequence
        self.state.entries[id].timestamp = max(self.state.entries[id].timestamp, timestamp?.rawValue ?? 0)
        self.state.entries[id].isChanged = true
    }

    /// The number up to which an author's batches are no longer in the log; see ``LogFloor``.
    func floor(of id: Int) -> UInt64 { self.state.entries[id].floor }

    /// The batches that are no longer in the log.
    var floor: LogFloor {
        LogFloor(
            gone: VersionVector(
                self.state.entries.lazy.map { VersionVector.Entry(origin: $0.origin, sequence: $0.floor) }
            )
        )
    }

    /// Notes that an author's batches up to `sequence` are no longer in the log, because they are removed in this transaction, or
    /// because this node gets the state instead.
    ///
    /// Only applied batches count: call ``advance(_:to:timestamp:)`` first. A lower number changes nothing.
    func raiseFloor(of id: Int, to sequence: UInt64) {
        let floor = min(sequence, self.state.entries[id].sequence)
        guard floor > self.state.entries[id].floor else { return }
        self.state.entries[id].floor = floor
        self.state.entries[id].isChanged = true
    }

    /// Whether this node has applied the batch that carried this version.
    func hasApplied(_ version: Version) -> Bool {
        guard version.sequence > 0 else { return true }
        guard let id = self.state.ids[version.origin] else { return false }
        return self.state.entries[id].sequence >= version.sequence
    }

    /// Whether the author of the version `author` had applied the batch of `version`, as far as this node knows.
    ///
    /// A node applies an author's batches in order, and each batch only after its dependencies. So if the newest known
    /// vector of an author does not cover a version, the author had not seen the version when it made its applied
    /// batches.
    func hasSeen(_ author: Version, _ version: Version) -> Bool {
        if author.origin == version.origin { return author.sequence >= version.sequence }
        guard let id = self.state.ids[author.origin] else { return false }
        return self.state.entries[id].seen.covers(version)
    }
}

/// A ``Version`` in which this file's small number stands for the origin.
struct LocalVersion: Hashable {
    var timestamp: UInt64
    var origin: Int
    var sequence: UInt64
}
