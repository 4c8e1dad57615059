import ClinicSyncModel

/// What a change does to a row.
enum ChangeKind: UInt8 {
    /// The row is new; all its columns follow.
    case insert = 1
    /// Some columns changed; the changed columns follow.
    case update = 2
    /// The row was deleted.
    case delete = 3
    /// No change: lists the values that the next change replaced and that its author had read.
    ///
    /// Only columns with entries in the journal are listed.
    case replacing = 4
}

/// Builds the payload of one chunk.
///
/// A payload is self-describing: it begins with the names of the tables and columns it uses. So a log stays readable
/// after changes of the schema. `docs/PROTOCOL.md`, "Chunk payload", describes the format.
struct ChangeChunkWriter {
    /// A chunk is closed when its changes reach this size: 256 KiB.
    static let bytesMax = 256 << 10
    static let format: UInt8 = 1

    /// A table, and the columns of it that the chunk uses.
    private struct Entry {
        let name: String
        var columns: [String] = []
        /// The place of a slot's column in `columns`, or -1.
        var places: [Int]
    }

    private var body = ByteWriter()
    private var entries: [Entry] = []
    private var indexes: [Int: Int] = [:]
    /// The bytes of the names so far.
    private var namesCount = 0
    private let base: UInt64

    /// Begins a chunk of the batch with timestamp `base`.
    init(base: HybridTimestamp) { self.base = base.rawValue }

    /// Whether the chunk holds no change.
    var isEmpty: Bool { self.body.count == 0 }

    /// Whether the chunk should be closed.
    ///
    /// The names count as well: then a chunk that is not full has room for one more change of the largest size.
    func isFull(at limit: Int) -> Bool { self.body.count + self.namesCount >= limit }

    /// Appends a change of `plan`'s table.
    ///
    /// `slots` is the bit set of the columns that follow; it never contains the key. `replaced` has, by slot, the
    /// hashes of the replaced values that the author had read, for columns with entries in the journal.
    mutating func append(
        _ kind: ChangeKind,
        plan: TablePlan,
        key: ValueRef,
        timestamp: HybridTimestamp,
        slots: UInt64,
        replaced: [Int: UInt32] = [:],
        value: (Int) -> ValueRef
    ) {
        let index = self.index(of: plan)
        if !replaced.isEmpty { self.append(replaced, index: index, plan: plan) }
        self.body.unsigned(UInt64(index))
        self.body.byte(kind.rawValue)
        self.body.value(key)
        self.body.signed(Int64(bitPattern: timestamp.rawValue &- self.base))
        guard kind != .delete else { return }
        var places: UInt64 = 0
        for slot in slots.setBits { places |= 1 << UInt64(self.place(of: slot, in: index, plan: plan)) }
        self.body.unsigned(places)
        // Values follow in the order of their places: the order of first use, not the order of the slots.
        let entry = self.entries[index]
        if entry.places == plan.identityPlaces {
            for slot in slots.setBits { self.body.value(value(slot)) }
        } else {
            for place in places.setBits {
                let slot = entry.places.firstIndex(of: place) ?? 0
                self.body.value(value(slot))
            }
        }
    }

    private mutating func append(_ replaced: [Int: UInt32], index: Int, plan: TablePlan) {
        self.body.unsigned(UInt64(index))
        self.body.byte(ChangeKind.replacing.rawValue)
        let hashes = replaced.map { (place: self.place(of: $0.key, in: index, plan: plan), hash: $0.value) }
        self.body.unsigned(hashes.reduce(UInt64(0)) { $0 | 1 << UInt64($1.place) })
        for (_, hash) in hashes.sorted(by: { $0.place < $1.place }) { self.body.fixed32(hash) }
    }

    /// The finished payload.
    func payload() -> [UInt8] {
        var head = ByteWriter()
        head.byte(ChangeChunkWriter.format)
        head.unsigned(UInt64(self.entries.count))
        for entry in self.entries {
            head.string(entry.name)
            head.unsigned(UInt64(entry.columns.count))
            for column in entry.columns { head.string(column) }
        }
        head.raw(self.body.bytes)
        return head.bytes
    }

    private mutating func index(of plan: TablePlan) -> Int {
        if let index = self.indexes[plan.definition.number] { return index }
        self.entries.append(
            Entry(name: plan.definition.name, places: Array(repeating: -1, count: plan.slotCount))
        )
        self.namesCount += plan.definition.name.utf8.count
        self.indexes[plan.definition.number] = self.entries.count - 1
        return self.entries.count - 1
    }

    private mutating func place(of slot: Int, in index: Int, plan: TablePlan) -> Int {
        let place = self.entries[index].places[slot]
        if place >= 0 { return place }
        self.entries[index].columns.append(plan.names[slot] ?? "")
        self.namesCount += plan.names[slot]?.utf8.count ?? 0
        self.entries[index].places[slot] = self.entries[index].columns.count - 1
        return self.entries[index].columns.count - 1
    }
}

/// Reads the changes of one chunk's payload.
struct ChangeChunkReader {
    /// A change in the payload, which is not copied.
    struct Change {
        var kind: ChangeKind
        /// The table; `nil` when this node has no table with the change's table name.
        var plan: TablePlan?
        var key: ValueRef
        var timestamp: HybridTimestamp
        /// The columns that the change sets, by this node's slots.
        ///
        /// An insertion sets all columns; columns that its author did not name get their defaults.
        var slots: UInt64
        /// The columns that the change's author named, by this node's slots.
        var named: UInt64
        /// Whether the change has columns that this node does not know.
        var hasUnknownColumns: Bool
        /// By slot, the hashes of the replaced values that the author had read, where the author's journal had entries.
        var replaced: [Int: UInt32] = [:]
    }

    /// A table of the payload's dictionary.
    private struct Entry {
        let plan: TablePlan?
        /// This node's slot of each of the chunk's columns, or -1.
        let slots: [Int]
        /// The places of the columns that this node does not know; a dropped column counts as known.
        let unknownPlaces: UInt64
    }

    private var reader: ByteReader
    private let entries: [Entry]
    private let base: HybridTimestamp
    /// The values of the current change by slot; the column's default where an insertion has no value.
    private(set) var values: [ValueRef]

    /// The names of tables in the payload that this node does not know.
    let unknownTables: [String]
    /// The names of columns in the payload that this node does not know, by the table's name on this node.
    let unknownColumns: [String: [String]]

    /// Reads the dictionary of `payload`, which must outlive the reader.
    ///
    /// What is malformed does not depend on `plans`: a payload that one node reads, every node reads. Without `plans` the
    /// reader knows no table.
    init(
        _ payload: UnsafeRawBufferPointer,
        base: HybridTimestamp,
        plans: TablePlans?
    ) throws(MalformedRecord) {
        var reader = ByteReader(payload)
        guard try reader.byte() == ChangeChunkWriter.format else {
            throw MalformedRecord(reason: "the chunk has an unknown format")
        }
        var entries: [Entry] = []
        var unknown: [String] = []
        var unknownColumns: [String: [String]] = [:]
        for _ in 0..<(try reader.count(ofAtLeast: 2, limit: RecordLimits.tablesMax)) {
            let name = try reader.string(limit: RecordLimits.nameBytesMax)
            let plan = plans?.plan(calledElsewhere: name)
            if let plans, plan == nil, plans.isUnknown(table: name) { unknown.append(name) }
            var slots: [Int] = []
            var unknownPlaces: UInt64 = 0
            for _ in 0..<(try reader.count(ofAtLeast: 1, limit: RecordLimits.columnsMax)) {
                // Read the name first: the reader must also skip the names of an unknown table's columns.
                let column = try reader.string(limit: RecordLimits.nameBytesMax)
                // The key stands before the columns; a column of its name is ignored.
                slots.append(
                    plan.flatMap { plan in plan.slot(of: column).flatMap { $0 == plan.keySlot ? nil : $0 } } ?? -1
                )
                guard let plan, plan.isUnknown(column) else { continue }
                unknownPlaces |= 1 << UInt64(slots.count - 1)
                unknownColumns[plan.definition.name, default: []].append(column)
            }
            entries.append(Entry(plan: plan, slots: slots, unknownPlaces: unknownPlaces))
        }
        self.reader = reader
        self.entries = entries
        self.base = base
        self.values = Array(repeating: .null, count: 64)
        self.unknownTables = unknown
        self.unknownColumns = unknownColumns
    }

    /// The numbers of the tables in the payload that this node knows.
    var knownTables: [Int] { self.entries.compactMap { $0.plan?.definition.number } }

    /// The next change; `nil` at the end.
    mutating func next() throws(MalformedRecord) -> Change? {
        guard !self.reader.isAtEnd else { return nil }
        var (index, kind) = try self.readStart()
        var replaced: [Int: UInt32] = [:]
        if kind == .replacing {
            let first = index
            replaced = try self.readReplaced(entry: self.entries[Int(index)])
            (index, kind) = try self.readStart()
            guard index == first, kind == .insert || kind == .update else {
                throw MalformedRecord(reason: "no change follows what it replaced")
            }
        }
        let key = try self.reader.value()
        switch key {
        case .text, .blob: break
        default: throw MalformedRecord(reason: "a key is neither text nor blob")
        }
        let timestamp = try self.reader.timestamp(from: self.base)
        var change = Change(
            kind: kind,
            plan: self.entries[Int(index)].plan,
            key: key,
            timestamp: timestamp,
            slots: 0,
            named: 0,
            hasUnknownColumns: false,
            replaced: replaced
        )
        if kind != .delete { try self.readValues(of: &change, entry: self.entries[Int(index)]) }
        return change
    }

    @inline(__always)
    private mutating func readStart() throws(MalformedRecord) -> (index: UInt64, kind: ChangeKind) {
        let index = try self.reader.unsigned()
        guard index < UInt64(self.entries.count) else { throw MalformedRecord(reason: "a table's number is too large") }
        guard let kind = ChangeKind(rawValue: try self.reader.byte()) else {
            throw MalformedRecord(reason: "a change has an unknown kind")
        }
        return (index, kind)
    }

    private mutating func readReplaced(entry: Entry) throws(MalformedRecord) -> [Int: UInt32] {
        let places = try self.reader.unsigned()
        guard places >> UInt64(entry.slots.count) == 0 else {
            throw MalformedRecord(reason: "a column's number is too large")
        }
        var replaced: [Int: UInt32] = [:]
        for place in places.setBits {
            let hash = try self.reader.fixed32()
            if entry.slots[place] >= 0 { replaced[entry.slots[place]] = hash }
        }
        return replaced
    }

    @inline(__always)
    private mutating func readValues(of change: inout Change, entry: Entry) throws(MalformedRecord) {
        let places = try self.reader.unsigned()
        guard places >> UInt64(entry.slots.count) == 0 else {
            throw MalformedRecord(reason: "a column's number is too large")
        }
        if let plan = entry.plan, change.kind == .insert {
            // A column that the author's schema lacks gets its default.
            let defaults = plan.defaults.refs
            for slot in 0..<plan.slotCount { self.values[slot] = defaults[slot] }
            change.slots = plan.valueSlots & ~plan.counterSlots
        }
        change.hasUnknownColumns = places & entry.unknownPlaces != 0
        for place in places.setBits {
            let value = try self.reader.value()
            let slot = entry.slots[place]
            if slot >= 0 {
                self.values[slot] = value
                change.named |= 1 << UInt64(slot)
            }
        }
        change.slots |= change.named
    }
}
