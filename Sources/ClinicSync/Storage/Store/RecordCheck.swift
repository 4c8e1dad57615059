import ClinicSyncCore
import ClinicSyncModel
import GRDB

/// Decodes records as the store does and checks what the decoders promise of everything they accept.
///
/// The decoders of this folder read what peers send and what lies in a file that any program may write. They refuse what is
/// no record. What they accept keeps the format's limits, and is the same again after it was written and read once more,
/// so that a node stores and passes on exactly what it understood. Tests and the fuzzer call this with arbitrary bytes.
package struct RecordCheck: Sendable {
    /// What came of one input.
    package enum Verdict: Sendable, Hashable {
        /// The decoder refused it.
        case refused
        /// The decoder accepted it and kept its promises.
        case accepted
        /// The decoder accepted what it should not have; the sentence says which promise was broken.
        case broken(String)
    }

    private let plans: TablePlans
    private let states: TablePlan

    private static let base = HybridTimestamp(milliseconds: 1_795_000_000_000)
    /// Plans the clinic's tables.
    ///
    /// - Parameter statesTable: the table of the row states; it has a counter.
    /// - Throws: ``StoreError``, ``SchemaError``.
    package init(statesTable: String) throws {
        let schema = StoreSchema.clinic
        let database = try StoreDatabase.inMemory()
        try ClinicMigrator(schema.migrations).migrate(database.writer)
        let manifest = try Manifest(json: schema.manifest)
        let plans = try database.writer.write { TablePlans(try ClinicTables.read(from: $0, manifest: manifest)) }
        guard let states = plans[statesTable] else {
            throw StoreError(code: .schema, message: "The table \(statesTable) is missing.")
        }
        self.plans = plans
        self.states = states
    }

    // MARK: - Chunks

    /// The payload of a chunk.
    package func chunk(_ bytes: [UInt8]) -> Verdict {
        self.verdict {
            var writer = ChangeChunkWriter(base: RecordCheck.base)
            let changes = try self.changes(in: bytes) { change, plan, values in
                writer.append(
                    change.kind,
                    plan: plan,
                    key: change.key,
                    timestamp: change.timestamp,
                    slots: change.slots,
                    replaced: change.replaced
                ) { values[$0] }
            }
            return try self.changes(in: writer.payload()) { _, _, _ in } == changes
                ? nil : "a chunk's changes are others after they were written and read again"
        }
    }

    private struct DecodedChange: Equatable {
        var kind: ChangeKind
        var table: Int
        var key: SQLiteValue
        var timestamp: HybridTimestamp
        var slots: UInt64
        var replaced: [Int: UInt32]
        var values: [SQLiteValue]
    }

    private func changes(
        in bytes: [UInt8],
        visit: (ChangeChunkReader.Change, TablePlan, [ValueRef]) -> Void
    ) throws -> [DecodedChange] {
        try bytes.withUnsafeBytes { payload in
            var reader = try ChangeChunkReader(payload, base: RecordCheck.base, plans: self.plans)
            var changes: [DecodedChange] = []
            while let change = try reader.next() {
                guard let plan = change.plan else { continue }
                visit(change, plan, reader.values)
                changes.append(
                    DecodedChange(
                        kind: change.kind,
                        table: plan.definition.number,
                        key: change.key.value,
                        timestamp: change.timestamp,
                        slots: change.slots,
                        replaced: change.replaced,
                        values: change.slots.setBits.map { reader.values[$0].value }
                    )
                )
            }
            return changes
        }
    }

    // MARK: - Row states

    /// A page of states of rows of the table that ``init(statesTable:)`` names.
    package func rowStates(_ bytes: [UInt8]) -> Verdict {
        self.verdict {
            let states = try self.decodedStates(bytes)
            var writer = RowStateWriter(self.states)
            for state in states {
                if let fault = RecordCheck.fault(of: state) { return fault }
                writer.append(state)
            }
            return try self.decodedStates(writer.payload()) == states
                ? nil : "row states are others after they were written and read again"
        }
    }

    private func decodedStates(_ bytes: [UInt8]) throws -> [RowState] {
        try bytes.withUnsafeBytes { payload in
            var reader = try RowStateReader(payload, plan: self.states)
            var states: [RowState] = []
            while let state = try reader.next() { states.append(state) }
            return states
        }
    }

    /// A state as the tables of deleted and of hidden rows keep it.
    package func storedState(_ bytes: [UInt8]) -> Verdict {
        self.verdict {
            let state = try bytes.withUnsafeBytes { try StoredState.decode($0, plan: self.states) }
                .withoutCounters(self.states)
            if let fault = RecordCheck.fault(of: state) { return fault }
            var expected = state
            expected.deletion?.seen = VersionVector()
            let again = try StoredState.encode(state).withUnsafeBytes { try StoredState.decode($0, plan: self.states) }
            return again == expected ? nil : "a stored state is another after it was written and read again"
        }
    }

    private static func fault(of state: RowState) -> String? {
        let versions =
            [state.birth] + state.registers.compactMap { $0?.version } + [state.deletion?.version].compactMap(\.self)
        if versions.contains(where: { $0.timestamp > .largest || $0.sequence > Bounds.sequenceMax }) {
            return "a version is out of range"
        }
        let sequences =
            (state.counters + state.bases).map(\.sequence) + (state.deletion?.seen.entries.map(\.sequence) ?? [])
        if sequences.contains(where: { $0 > Bounds.sequenceMax }) { return "a sequence is out of range" }
        for parts in [state.counters, state.bases] {
            let places = parts.map { ($0.slot, $0.origin) }
            if !zip(places, places.dropFirst()).allSatisfy({ $0 < $1 }) { return "a counter's parts are out of order" }
        }
        return nil
    }

    // MARK: - What lies in the database

    /// A vector in its stored form.
    package func vector(_ bytes: [UInt8]) -> Verdict {
        self.verdict {
            let vector = try bytes.withUnsafeBytes { try VectorCoding.decode($0) }
            if vector.entries.contains(where: { $0.sequence > Bounds.sequenceMax }) {
                return "a sequence is out of range"
            }
            return try VectorCoding.encode(vector).withUnsafeBytes { try VectorCoding.decode($0) } == vector
                ? nil : "a vector is another after it was written and read again"
        }
    }

    /// A batch's header in its stored form.
    package func header(_ bytes: [UInt8]) -> Verdict {
        self.verdict {
            let header = try bytes.withUnsafeBytes { try VectorCoding.decodeHeader($0) }
            return try VectorCoding.encode(header).withUnsafeBytes { try VectorCoding.decodeHeader($0) } == header
                ? nil : "a header is another after it was written and read again"
        }
    }

    /// The versions of a row's columns in their stored form.
    package func registers(_ bytes: [UInt8]) -> Verdict {
        self.verdict {
            let birth = LocalVersion(timestamp: RecordCheck.base.rawValue, origin: 1, sequence: 1)
            var meta = RowMeta(birth: birth, hash: .zero, columns: [], groups: [], context: nil)
            meta.groups = try bytes.withUnsafeBytes { try RowMeta.readGroups($0, birth: birth.timestamp) }
            let again = try meta.encodedGroups.withUnsafeBytes { try RowMeta.readGroups($0, birth: birth.timestamp) }
            let isSame = again.elementsEqual(meta.groups) { $0.version == $1.version && $0.slots == $1.slots }
            return isSame ? nil : "a row's versions are others after they were written and read again"
        }
    }

    /// The hashes of a row's columns in their stored form.
    package func columns(_ bytes: [UInt8]) -> Verdict {
        self.verdict {
            let columns = try bytes.withUnsafeBytes { try RowMeta.readColumns($0) }
            return columns.count <= Int(UInt8.max) ? nil : "a row has more columns than a byte counts"
        }
    }

    /// One value.
    package func value(_ bytes: [UInt8]) -> Verdict {
        self.verdict {
            let value = try RecordCheck.decodedValue(bytes)
            var writer = ByteWriter()
            writer.value(value)
            return try RecordCheck.decodedValue(writer.bytes) == value
                ? nil : "a value is another after it was written and read again"
        }
    }

    private static func decodedValue(_ bytes: [UInt8]) throws -> SQLiteValue {
        try bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            let value = try reader.value().value
            guard reader.isAtEnd else { throw MalformedRecord(reason: "something follows the value") }
            return value
        }
    }

    func verdict(_ body: () throws -> String?) -> Verdict {
        do {
            return try body().map { .broken($0) } ?? .accepted
        } catch is MalformedRecord {
            return .refused
        } catch {
            return .broken("the decoder threw something else than MalformedRecord: \(type(of: error))")
        }
    }
}
