import ClinicSyncCore
import ClinicSyncModel

/// Writes row states of one table for a peer: pages of a reconciliation or of a state.
///
/// ``StoredState`` is the form in the file.
///
/// Like a chunk, a page is self-describing: it begins with the origins and the column names. `docs/PROTOCOL.md`, "Row
/// states", describes the format.
struct RowStateWriter {
    static let format: UInt8 = 2

    private let plan: TablePlan
    private var body = ByteWriter()
    private var origins: [Origin] = []
    private var indexes: [Origin: Int] = [:]
    /// The place of the origin that was named last.
    private var last: Int?

    /// Begins a page of `plan`'s table.
    init(_ plan: TablePlan) { self.plan = plan }

    /// Bytes of the rows written so far.
    var count: Int { self.body.count }

    /// Whether every node takes a row with so many parts: a row of a node without end is in no page.
    static func takes(_ state: RowState) -> Bool {
        state.counters.count <= RecordLimits.counterPartsMax
            && (state.deletion?.seen.entries.count ?? 0) <= RecordLimits.originsMax
    }

    /// Removes everything after the first `count` bytes.
    mutating func truncate(to count: Int) { self.body.truncate(to: count) }

    /// Appends a row.
    mutating func append(_ state: RowState) {
        self.body.value(state.key)
        self.version(state.birth)
        var present: UInt64 = 0
        for (slot, register) in state.registers.enumerated() where register != nil { present |= 1 << UInt64(slot) }
        self.body.unsigned(present)
        for slot in present.setBits {
            guard let register = state.registers[slot] else { continue }
            if register.version == state.birth {
                self.body.byte(0)
            } else {
                self.body.byte(1)
                self.version(register.version)
            }
            if self.plan.counterSlots & (1 << UInt64(slot)) != 0, let setting = state.setting(slot: slot) {
                self.body.value(.blob(setting.encoded))
            } else {
                self.body.value(register.value)
            }
        }
        self.body.unsigned(UInt64(state.counters.count))
        for part in state.counters {
            self.body.unsigned(UInt64(part.slot))
            self.body.unsigned(UInt64(self.index(of: part.origin)))
            self.body.signed(part.total)
            self.body.unsigned(part.sequence)
        }
        guard let deletion = state.deletion else {
            self.body.byte(0)
            return
        }
        self.body.byte(1)
        self.version(deletion.version)
        self.body.unsigned(UInt64(deletion.seen.entries.count))
        for entry in deletion.seen.entries {
            self.body.unsigned(UInt64(self.index(of: entry.origin)))
            self.body.unsigned(entry.sequence)
        }
    }

    /// Appends a row that one change wrote as a whole and nobody changed since: every value has the version of the row's birth.
    ///
    /// The bytes are those of ``append(_:)`` for such a state.
    mutating func appendPlain(key: ValueRef, birth: Version, slots: UInt64, value: (_ slot: Int) -> ValueRef) {
        self.body.value(key)
        self.version(birth)
        self.body.unsigned(slots)
        for slot in slots.setBits {
            self.body.byte(0)
            self.body.value(value(slot))
        }
        self.body.unsigned(0)
        self.body.byte(0)
    }

    /// The finished page.
    func payload() -> [UInt8] {
        var head = ByteWriter()
        head.byte(RowStateWriter.format)
        head.unsigned(UInt64(self.origins.count))
        for origin in self.origins { head.origin(origin) }
        head.unsigned(UInt64(self.plan.slotCount))
        for name in self.plan.names { head.string(name ?? "") }
        head.raw(self.body.bytes)
        return head.bytes
    }

    private mutating func version(_ version: Version) {
        self.body.fixed64(version.timestamp.rawValue)
        self.body.unsigned(UInt64(self.index(of: version.origin)))
        self.body.unsigned(version.sequence)
    }

    private mutating func index(of origin: Origin) -> Int {
        // Most rows have the author of the row before.
        if let last, self.origins[last] == origin { return last }
        let index = self.indexes[origin] ?? self.origins.count
        if index == self.origins.count {
            self.origins.append(origin)
            self.indexes[origin] = index
        }
        self.last = index
        return index
    }
}

/// Reads a page that the ``RowStateWriter`` of another node wrote.
struct RowStateReader {
    private var reader: ByteReader
    private let origins: [Origin]
    private let slots: [Int]
    private let plan: TablePlan
    private let unknownPlaces: UInt64
    /// The names of the page's columns that this node does not know.
    let unknownColumns: [String]
    /// Whether the row that was read last has a value in one of the unknown columns.
    private(set) var hasUnknownColumns = false

    /// Reads the head of `payload`, which must outlive the reader.
    init(_ payload: UnsafeRawBufferPointer, plan: TablePlan) throws(MalformedRecord) {
        var reader = ByteReader(payload)
        guard try reader.byte() == RowStateWriter.format else {
            throw MalformedRecord(reason: "the row states have an unknown format")
        }
        var origins: [Origin] = []
        for _ in 0..<(try reader.count(ofAtLeast: 17, limit: RecordLimits.originsMax)) {
            origins.append(try reader.origin())
        }
        var slots: [Int] = []
        var unknown: [String] = []
        var unknownPlaces: UInt64 = 0
        for _ in 0..<(try reader.count(ofAtLeast: 1, limit: RecordLimits.columnsMax)) {
            let name = try reader.string(limit: RecordLimits.nameBytesMax)
            slots.append(plan.slot(of: name) ?? -1)
            guard plan.isUnknown(name) else { continue }
            unknownPlaces |= 1 << UInt64(slots.count - 1)
            unknown.append(name)
        }
        self.unknownPlaces = unknownPlaces
        self.unknownColumns = unknown
        self.reader = reader
        self.origins = origins
        self.slots = slots
        self.plan = plan
    }

    /// A row that one change wrote as a whole and nobody changed since, where it is in the page.
    struct PlainRow {
        let key: ValueRef
        let birth: Version
        fileprivate let end: ByteReader
    }

    /// Whether all rows were read.
    var isAtEnd: Bool { self.reader.isAtEnd }

    /// The next row, if it is a plain one, without reading past it: its values are references into the page.
    ///
    /// - Parameter values: gets the values by slot.
    /// - Returns: The row, which ``skip(_:)`` passes over; `nil` when the next row is no plain one.
    /// - Throws: ``MalformedRecord``.
    func plainRow(values: inout [ValueRef]) throws(MalformedRecord) -> PlainRow? {
        var ahead = self
        let key = try ahead.reader.value()
        let birth = try ahead.version()
        let present = try ahead.reader.unsigned()
        guard present >> UInt64(self.slots.count) == 0 else { return nil }
        var filled: UInt64 = 0
        for place in present.setBits {
            guard try ahead.reader.byte() == 0 else { return nil }
            let slot = self.slots[place]
            let value = try ahead.reader.value()
            guard slot >= 0, slot != self.plan.keySlot else { return nil }
            values[slot] = value
            filled |= 1 << UInt64(slot)
        }
        guard filled == self.plan.valueSlots, try ahead.reader.unsigned() == 0, try ahead.reader.byte() == 0 else {
            return nil
        }
        return PlainRow(key: key, birth: birth, end: ahead.reader)
    }

    /// Passes over a row.
    mutating func skip(_ row: PlainRow) { self.reader = row.end }

    /// The next row; `nil` at the end.
    mutating func next() throws(MalformedRecord) -> RowState? {
        guard !self.reader.isAtEnd else { return nil }
        let key = try self.reader.value()
        var state = RowState(
            key: try RowStateReader.checkedKey(key),
            birth: try self.version(),
            registers: Array(repeating: nil, count: self.plan.slotCount)
        )
        let present = try self.reader.unsigned()
        guard present >> UInt64(self.slots.count) == 0 else {
            throw MalformedRecord(reason: "a column's number is too large")
        }
        self.hasUnknownColumns = false
        for place in present.setBits {
            let version = try self.reader.byte() == 0 ? state.birth : try self.version()
            let value = try self.reader.value()
            let slot = self.slots[place]
            if slot >= 0, self.plan.counterSlots & (1 << UInt64(slot)) != 0 {
                guard case .blob(let bytes) = value, let setting = CounterSetting(bytes, slot: slot) else { continue }
                state.set(setting, slot: slot, version: version)
            } else if slot >= 0, slot != self.plan.keySlot {
                state.registers[slot] = RowState.Register(value: value.value, version: version)
            } else if self.unknownPlaces & (1 << UInt64(place)) != 0, !value.isNull, version != .genesis {
                self.hasUnknownColumns = true
            }
        }
        var parts: [RowState.CounterPart] = []
        for _ in 0..<(try self.reader.count(ofAtLeast: 4, limit: RecordLimits.counterPartsMax)) {
            let place = try self.reader.unsigned()
            guard place < UInt64(self.slots.count) else {
                throw MalformedRecord(reason: "a column's number is too large")
            }
            let part = RowState.CounterPart(
                slot: self.slots[Int(place)],
                origin: try self.origin(),
                total: try self.reader.signed(),
                sequence: try self.reader.sequence()
            )
            if part.slot >= 0, self.plan.counterSlots & (1 << UInt64(part.slot)) != 0 { parts.append(part) }
        }
        state.merge(parts)
        if try self.reader.byte() == 1 {
            let version = try self.version()
            var seen: [VersionVector.Entry] = []
            for _ in 0..<(try self.reader.count(ofAtLeast: 2, limit: RecordLimits.originsMax)) {
                seen.append(VersionVector.Entry(origin: try self.origin(), sequence: try self.reader.sequence()))
            }
            state.deletion = RowState.Deletion(seen: VersionVector(seen), version: version)
        }
        return state
    }

    /// Reads the next row and keeps its key alone.
    ///
    /// Most rows are plain: of such a row nothing is built.
    ///
    /// - Parameter values: room for the values by slot.
    /// - Returns: The key; `nil` at the end.
    /// - Throws: ``MalformedRecord``.
    mutating func nextKey(values: inout [ValueRef]) throws(MalformedRecord) -> SQLiteValue? {
        guard !self.isAtEnd, let row = try self.plainRow(values: &values) else { return try self.next()?.key }
        self.skip(row)
        return try RowStateReader.checkedKey(row.key)
    }

    private static func checkedKey(_ key: ValueRef) throws(MalformedRecord) -> SQLiteValue {
        switch key {
        case .text, .blob: return key.value
        default: throw MalformedRecord(reason: "a key is neither text nor blob")
        }
    }

    private mutating func version() throws(MalformedRecord) -> Version {
        let timestamp = try self.reader.timestamp()
        let origin = try self.origin()
        return Version(
            timestamp: timestamp,
            origin: origin,
            sequence: try self.reader.sequence()
        )
    }

    private mutating func origin() throws(MalformedRecord) -> Origin {
        let index = try self.reader.unsigned()
        guard index < UInt64(self.origins.count) else {
            throw MalformedRecord(reason: "an origin's number is too large")
        }
        return self.origins[Int(index)]
    }
}
