import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import NIOConcurrencyHelpers
import Testing

/// A store in memory whose clock the test sets.
///
/// Programs write through the same connection.
final class TestStore {
    let origin: Origin
    let writer: ReplicaWriter
    private(set) var reader: ReplicaReader
    let queue: DatabaseQueue
    /// The schema with which the store was opened.
    let schema: StoreSchema
    private let clock: NIOLockedValueBox<Int64>

    /// Opens a store over `queue`, or over an empty database.
    ///
    /// With neither a schema nor an incarnation, the database is a copy of one that was opened once: see ``opened(by:)``.
    convenience init(
        _ number: UInt64,
        schema: StoreSchema? = nil,
        eventsKept: Int? = nil,
        incarnation: UInt32 = 0,
        limits: StoreLimits = .standard,
        over queue: DatabaseQueue? = nil
    ) throws {
        let isOrdinary = queue == nil && schema == nil && incarnation == 0
        try self.init(
            Origin(node: Self.node(number), incarnation: incarnation),
            clock: NIOLockedValueBox<Int64>(1_800_000_000_000),
            queue: queue ?? (isOrdinary ? Self.opened(by: number) : Self.empty()),
            schema: schema ?? .clinic,
            eventsKept: eventsKept,
            limits: limits
        )
        try self.collect()
    }

    /// What nodes leave that opened an empty database, by their numbers.
    private static let templates = NIOLockedValueBox<[UInt64: DatabaseQueue]>([:])

    /// A copy of a database that the node with this number opened once.
    ///
    /// Opening an empty database makes all tables and triggers, and takes more than half of the time of many tests.
    private static func opened(by number: UInt64) throws -> DatabaseQueue {
        let template = try self.templates.withLockedValue { templates in
            if let template = templates[number] { return template }
            let store = try TestStore(number, schema: .clinic)
            // Positions of events continue as in an empty database.
            try store.sql("DELETE FROM clinicsync_setting WHERE name = 'eventBase'")
            templates[number] = store.queue
            return store.queue
        }
        return try self.copy(of: template)
    }

    private static func empty() throws -> DatabaseQueue {
        try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
    }

    /// A copy of a whole database.
    static func copy(of database: DatabaseQueue) throws -> DatabaseQueue {
        let queue = try self.empty()
        try database.backup(to: queue)
        return queue
    }

    /// The same database opened by another version of the program; `other` must not be used any more.
    convenience init(reopening other: TestStore, schema: StoreSchema) throws {
        try self.init(other.origin, clock: other.clock, queue: other.queue, schema: schema, eventsKept: nil)
    }

    private init(
        _ origin: Origin,
        clock: NIOLockedValueBox<Int64>,
        queue: DatabaseQueue,
        schema: StoreSchema,
        eventsKept: Int?,
        limits: StoreLimits = .standard
    ) throws {
        self.origin = origin
        self.schema = schema
        self.clock = clock
        self.queue = queue
        var limits = limits
        if let eventsKept { limits.eventsKept = eventsKept }
        self.writer = try ReplicaWriter(
            database: StoreDatabase(single: self.queue),
            origin: self.origin,
            schema: schema,
            limits: limits,
            storeExtension: ClinicExtension(),
            wallClock: { clock.withLockedValue { $0 } }
        )
        self.reader = try ReplicaReader(beside: self.writer)
    }

    /// Reads the state like a store that was just opened.
    func renewReader() throws { self.reader = try ReplicaReader(beside: self.writer) }

    /// The id of the test's node with this number.
    static func node(_ number: UInt64) -> NodeID { NodeID(high: 0xC11, low: number) }

    /// The wall time in milliseconds since 1970.
    var now: Int64 {
        get { self.clock.withLockedValue { $0 } }
        set { self.clock.withLockedValue { $0 = newValue } }
    }

    var vector: VersionVector { get throws { try self.writer.state().vector } }

    /// The offset that the node adds to its clock.
    var offset: Int64 = 0

    /// Runs a program's statement.
    func sql(_ sql: String, _ arguments: StatementArguments = StatementArguments()) throws {
        try self.queue.writeWithoutTransaction { try $0.execute(sql: sql, arguments: arguments) }
    }

    /// One value of a query.
    func value<Value: DatabaseValueConvertible>(_ type: Value.Type, _ sql: String) throws -> Value? {
        try self.queue.read { try Value.fetchOne($0, sql: sql) }
    }

    @discardableResult
    func collect() throws -> CollectOutcome {
        // Marks carry SQLite's time. In tests only the store's clock counts.
        try self.sql("UPDATE clinicsync_dirty SET writtenAt = ?", [self.now])
        return try self.writer.collect(clockOffsetMilliseconds: self.offset)
    }

    /// Gives `other` everything it lacks, in the order of this log.
    @discardableResult
    func send(to other: TestStore) throws -> StoreOutcome {
        try self.collect()
        let vector = try other.vector
        let start = try #require(try self.reader.locate(vector))
        let chunks = try self.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk)
        let lacking = chunks.filter { vector[$0.batch.origin] < $0.batch.sequence && $0.batch.origin != other.origin }
        try other.sql("UPDATE clinicsync_dirty SET writtenAt = ?", [other.now])
        var outcome = try other.writer.store(lacking, clockOffsetMilliseconds: other.offset)
        if outcome.isApplyPending { outcome = try other.writer.applyStored(clockOffsetMilliseconds: other.offset) }
        return outcome
    }

    /// Loses a table's rows and all that is known of them, as damage does; the batches stay applied.
    func lose(_ table: String) throws {
        let number = "(SELECT id FROM clinicsync_table WHERE name = '\(table)')"
        try self.sql(
            """
            UPDATE clinicsync_guard SET applying = 1; DELETE FROM \(table); UPDATE clinicsync_guard SET applying = 0;
            DELETE FROM clinicsync_row WHERE tableId = \(number); DELETE FROM clinicsync_tombstone WHERE tableId = \(number);
            DELETE FROM clinicsync_counter WHERE tableId = \(number)
            """
        )
        _ = try self.writer.sweep(table: table, clockOffsetMilliseconds: self.offset)
    }

    /// Every replicated table's rows as text, storage classes included, in the order of these texts.
    func dump() throws -> [String] {
        try self.queue.read { db in
            var lines: [String] = []
            for table in try String.fetchAll(db, sql: "SELECT name FROM clinicsync_table ORDER BY name") {
                let columns = try db.columns(in: table).map { "quote(\"\($0.name)\")" }.joined(separator: "||'|'||")
                lines += try String.fetchAll(db, sql: "SELECT '\(table):' || \(columns) FROM \"\(table)\" ORDER BY 1")
            }
            return lines
        }
    }

    /// Checks that the node's bookkeeping agrees with its tables.
    func verify(_ location: SourceLocation = #_sourceLocation) throws {
        let before = try self.reader.digests().tables
        let (escaped, _) = try self.writer.sweep(table: nil, clockOffsetMilliseconds: self.offset)
        #expect(escaped == 0, "rows escaped capture", sourceLocation: location)
        let after = try self.reader.digests().tables
        #expect(before == after, "the digests had drifted", sourceLocation: location)
    }
}

/// Exchanges until all stores have everything.
func converge(_ stores: [TestStore]) throws {
    for store in stores { try store.collect() }
    for _ in 0..<2 {
        for source in stores { for target in stores where source !== target { try source.send(to: target) } }
    }
    let vector = try stores[0].vector
    for store in stores { #expect(try store.vector == vector) }
}

/// Checks that all stores show the same rows and have equal digests.
func expectEqual(_ stores: [TestStore], _ location: SourceLocation = #_sourceLocation) throws {
    let dump = try stores[0].dump()
    let digests = try stores[0].reader.digests().tables
    for store in stores {
        let theirs = try store.dump()
        let difference = theirs == dump ? [] : Set(theirs).symmetricDifference(dump).sorted()
        #expect(difference == [], sourceLocation: location)
        #expect(try store.reader.digests().tables == digests, sourceLocation: location)
        try store.verify(location)
    }
}
