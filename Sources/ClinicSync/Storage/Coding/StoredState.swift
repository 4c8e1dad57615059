import ClinicSyncCore
import ClinicSyncModel

/// The state of one row in its stored form: what `clinicsync_tombstone` and `clinicsync_shadow` hold.
///
/// Peers get states in another form (``RowStateWriter``). A stored state has no names of columns: slots are the same as long as the
/// file exists. It has each version once, and no bytes for a column that is NULL since the row's insertion. Parts of counters and what
/// deleters had seen are in tables of their own.
///
/// Format: the byte 3, the origins, the versions, of which the first is that of the insertion, the key, the set of slots with a
/// value, the subset of those that are NULL since the insertion, then for each other one the index of its version and its value, and
/// at last 0 or the index of the deletion's version plus 1. Sets and numbers are as in ``ByteWriter``.
enum StoredState {
    private static let format: UInt8 = 3
    /// More origins and versions than a row can have: each column has one version, and the deletion has one.
    private static let versionsMax = RecordLimits.columnsMax + 2

    /// The stored form of a state.
    ///
    /// It has no counters, and of the deletion the version alone.
    static func encode(_ state: RowState) -> [UInt8] {
        var present: UInt64 = 0
        var empty: UInt64 = 0
        for (slot, register) in state.registers.enumerated() {
            guard let register else { continue }
            present |= 1 << UInt64(slot)
            if register.value == .null, register.version == state.birth { empty |= 1 << UInt64(slot) }
        }
        var versions = Versions(first: state.birth)
        var body = ByteWriter()
        body.value(state.key)
        body.unsigned(present)
        body.unsigned(empty)
        for slot in (present & ~empty).setBits {
            guard let register = state.registers[slot] else { continue }
            body.unsigned(versions.index(of: register.version))
            body.value(register.value)
        }
        body.unsigned(state.deletion.map { versions.index(of: $0.version) &+ 1 } ?? 0)
        var writer = ByteWriter()
        writer.byte(self.format)
        versions.write(to: &writer)
        writer.raw(body.bytes)
        return writer.bytes
    }

    /// The state in a stored form, in this one or in that of earlier versions of the program.
    ///
    /// - Throws: ``MalformedRecord`` for other bytes, and for the state of another row than that with this key.
    static func decode(
        _ bytes: UnsafeRawBufferPointer,
        key: ValueRef,
        plan: TablePlan
    ) throws(MalformedRecord) -> RowState {
        let state = try self.decode(bytes, plan: plan)
        guard state.key == key.value else { throw MalformedRecord(reason: "the state is not of its row") }
        return state
    }

    /// The state in a stored form, whatever its row is.
    ///
    /// - Throws: ``MalformedRecord``.
    static func decode(_ bytes: UnsafeRawBufferPointer, plan: TablePlan) throws(MalformedRecord) -> RowState {
        try bytes.first == self.format ? self.current(bytes, plan) : self.former(bytes, plan)
    }

    /// Until schema version 24 a state was stored in the form in which peers get it.
    private static func former(_ bytes: UnsafeRawBufferPointer, _ plan: TablePlan) throws(MalformedRecord) -> RowState {
        var reader = try RowStateReader(bytes, plan: plan)
        guard let state = try reader.next() else { throw MalformedRecord(reason: "there is no state") }
        return state
    }

    private static func current(_ bytes: UnsafeRawBufferPointer, _ plan: TablePlan) throws(MalformedRecord) -> RowState
    {
        var reader = ByteReader(bytes)
        _ = try reader.byte()
        let versions = try Versions.read(&reader, limit: self.versionsMax)
        let key = try reader.value().value
        var state = RowState(
            key: key,
            birth: try versions.version(0),
            registers: Array(repeating: nil, count: plan.slotCount)
        )
        let present = try reader.unsigned()
        let empty = try reader.unsigned()
        guard empty & ~present == 0 else { throw MalformedRecord(reason: "a column is empty and has no value") }
        for slot in present.setBits {
            let isEmpty = empty & (1 << UInt64(slot)) != 0
            let version = isEmpty ? state.birth : try versions.version(try reader.unsigned())
            let value = isEmpty ? SQLiteValue.null : try reader.value().value
            // A column that was dropped since then has no value any more.
            guard (plan.valueSlots & ~plan.counterSlots) & (1 << UInt64(slot)) != 0 else { continue }
            state.registers[slot] = RowState.Register(value: value, version: version)
        }
        let deletion = try reader.unsigned()
        if deletion > 0 {
            state.deletion = RowState.Deletion(seen: VersionVector(), version: try versions.version(deletion &- 1))
        }
        guard reader.isAtEnd else { throw MalformedRecord(reason: "something follows the state") }
        return state
    }
}

/// The versions that a stored state names, each once.
private struct Versions {
    private var origins: [Origin] = []
    private var versions: [Version] = []

    init(first: Version) { _ = self.index(of: first) }

    private init(_ versions: [Version]) { self.versions = versions }

    /// The place of a version, which is added if it is new.
    mutating func index(of version: Version) -> UInt64 {
        if let index = self.versions.firstIndex(of: version) { return UInt64(index) }
        if !self.origins.contains(version.origin) { self.origins.append(version.origin) }
        self.versions.append(version)
        return UInt64(self.versions.count - 1)
    }

    /// The version at a place.
    func version(_ index: UInt64) throws(MalformedRecord) -> Version {
        guard index < UInt64(self.versions.count) else {
            throw MalformedRecord(reason: "a version's number is too large")
        }
        return self.versions[Int(index)]
    }

    func write(to writer: inout ByteWriter) {
        writer.unsigned(UInt64(self.origins.count))
        for origin in self.origins { writer.origin(origin) }
        writer.unsigned(UInt64(self.versions.count))
        for version in self.versions {
            let index = self.origins.firstIndex(of: version.origin) ?? 0
            writer.fixed64(version.timestamp.rawValue)
            writer.unsigned(UInt64(index))
            writer.unsigned(version.sequence)
        }
    }

    static func read(_ reader: inout ByteReader, limit: Int) throws(MalformedRecord) -> Versions {
        var origins: [Origin] = []
        for _ in 0..<(try reader.count(ofAtLeast: 17, limit: limit)) { origins.append(try reader.origin()) }
        var versions: [Version] = []
        for _ in 0..<(try reader.count(ofAtLeast: 10, limit: limit)) {
            let timestamp = try reader.timestamp()
            let index = try reader.unsigned()
            guard index < UInt64(origins.count) else {
                throw MalformedRecord(reason: "an origin's number is too large")
            }
            let sequence = try reader.sequence()
            versions.append(Version(timestamp: timestamp, origin: origins[Int(index)], sequence: sequence))
        }
        return Versions(versions)
    }
}
