import ClinicSyncModel

/// A ``Version`` whose origin is this file's small number for it.
struct LocalVersion: Hashable {
    var timestamp: UInt64
    var origin: Int
    var sequence: UInt64
}

/// The hashes of a row's columns and of the row.
struct RowHashes {
    /// The 64-bit hash of each slot's value; 0 exactly for the column's default (NULL where it has none) and for the key.
    var columns: [UInt64]
    /// The row's hash.
    var row: Digest

    /// Hashes of nothing, to be filled again and again.
    init() {
        self.columns = Array(repeating: 0, count: 64)
        self.row = .zero
    }

    /// Hashes a row; `value` gives the value of a slot.
    ///
    /// The row's hash covers the key and, in the order of their names, the columns that hold something else than their
    /// default. A column added later changes no hash until somebody writes it, so that nodes of different schema versions agree.
    @inline(__always)
    mutating func compute(plan: TablePlan, key: ValueRef, scratch: inout ByteWriter, value: (Int) -> ValueRef) {
        self.compute(plan: plan, key: key, scratch: &scratch) { slot -> UInt64 in RowHashes.column(value(slot)) }
    }

    /// The hash of NULL in a column whose default is something else.
    static let nullMark: UInt64 = 2

    /// The hash of one column's value: 0 means NULL, so no value may hash to it.
    @inline(__always)
    static func column(_ value: ValueRef) -> UInt64 { value.isNull ? 0 : max(value.hash, 1) }

    /// The hash of a value in a column with that default, by ``column(_:)`` of both: 0 for the default itself.
    @inline(__always)
    static func relative(_ hash: UInt64, to defaultHash: UInt64) -> UInt64 {
        if hash == defaultHash { return 0 }
        return hash == 0 ? RowHashes.nullMark : hash
    }

    /// Hashes a row; `columnHash` gives ``column(_:)`` of a slot's value.
    @inline(__always)
    mutating func compute(plan: TablePlan, key: ValueRef, scratch: inout ByteWriter, columnHash: (Int) -> UInt64) {
        scratch.removeAll()
        scratch.value(key)
        for slot in plan.hashOrder {
            var hash = columnHash(slot)
            if plan.defaultSlots & (1 << UInt64(slot)) != 0 {
                hash = RowHashes.relative(hash, to: plan.defaultHashes[slot])
            }
            self.columns[slot] = hash
            if hash != 0 {
                scratch.fixed64(plan.nameHashes[slot])
                scratch.fixed64(hash)
            }
        }
        self.columns[plan.keySlot] = 0
        let (low, high) = scratch.bytes.withUnsafeBytes { SipHash.hash128($0) }
        self.row = Digest(high: high, low: low)
    }
}

/// What the node knows of one visible row beside its values: a row of `clinicsync_row`.
struct RowMeta {
    /// Columns that were written by another version than the row's birth.
    struct Group {
        var version: LocalVersion
        var slots: UInt64
    }

    var birth: LocalVersion
    var hash: Digest
    /// The lower 32 bits of each slot's hash; 0 for the default and for slots that did not exist then.
    var columns: [UInt32]
    var groups: [Group]
    var context: Int?

    /// The version of a slot's column.
    func version(of slot: Int) -> LocalVersion {
        for group in self.groups where group.slots & (1 << UInt64(slot)) != 0 { return group.version }
        return self.birth
    }

    /// Gives the columns of `slots` another version.
    mutating func assign(_ slots: UInt64, to version: LocalVersion) {
        for index in self.groups.indices { self.groups[index].slots &= ~slots }
        self.groups.removeAll { $0.slots == 0 }
        guard version != self.birth, slots != 0 else { return }
        if let index = self.groups.firstIndex(where: { $0.version == version }) {
            self.groups[index].slots |= slots
        } else {
            self.groups.append(Group(version: version, slots: slots))
        }
    }

    /// The slots whose stored hash differs from `hashes`.
    func changedSlots(_ hashes: RowHashes, plan: TablePlan) -> UInt64 {
        guard hashes.row != self.hash else { return 0 }
        var changed: UInt64 = 0
        for slot in plan.hashOrder {
            let stored = slot < self.columns.count ? self.columns[slot] : 0
            if stored != RowMeta.short(hashes.columns[slot]) { changed |= 1 << UInt64(slot) }
        }
        // The row differs and no column seems to: a collision of 32 bits. Take every column rather than lose the edit.
        return changed == 0 ? plan.valueSlots : changed
    }

    /// The 32 bits that are stored of a column's hash; 0 exactly for the default.
    static func short(_ hash: UInt64) -> UInt32 {
        hash == 0 ? 0 : max(UInt32(truncatingIfNeeded: hash), 1)
    }

    // MARK: - Stored form

    /// Appends the `columns` blob: the number of slots, a bit for each that is not its default, and the hashes of those.
    static func writeColumns(_ hashes: RowHashes, plan: TablePlan, to writer: inout ByteWriter) {
        writer.removeAll()
        writer.byte(UInt8(plan.slotCount))
        var present: UInt64 = 0
        for slot in 0..<plan.slotCount where hashes.columns[slot] != 0 { present |= 1 << UInt64(slot) }
        writer.unsigned(present)
        for slot in present.setBits {
            let short = self.short(hashes.columns[slot])
            writer.byte(UInt8(truncatingIfNeeded: short))
            writer.byte(UInt8(truncatingIfNeeded: short >> 8))
            writer.byte(UInt8(truncatingIfNeeded: short >> 16))
            writer.byte(UInt8(truncatingIfNeeded: short >> 24))
        }
    }

    /// Reads the `columns` blob.
    static func readColumns(_ bytes: UnsafeRawBufferPointer) throws(MalformedRecord) -> [UInt32] {
        var reader = ByteReader(bytes)
        var columns = [UInt32](repeating: 0, count: Int(try reader.byte()))
        for slot in try reader.unsigned().setBits where slot < columns.count {
            var short: UInt32 = 0
            for shift: UInt32 in [0, 8, 16, 24] { short |= UInt32(try reader.byte()) << shift }
            columns[slot] = short
        }
        return columns
    }

    /// The `registers` blob: for each group its stamp, origin, sequence and slots.
    var encodedGroups: [UInt8] {
        var writer = ByteWriter()
        for group in self.groups {
            writer.signed(Int64(bitPattern: group.version.timestamp &- self.birth.timestamp))
            writer.unsigned(UInt64(group.version.origin))
            writer.unsigned(group.version.sequence)
            writer.unsigned(group.slots)
        }
        return writer.bytes
    }

    /// Reads the `registers` blob.
    static func readGroups(
        _ bytes: UnsafeRawBufferPointer,
        birth: LocalVersion
    ) throws(MalformedRecord) -> [Group] {
        var reader = ByteReader(bytes)
        var groups: [Group] = []
        while !reader.isAtEnd {
            let timestamp = birth.timestamp &+ UInt64(bitPattern: try reader.signed())
            guard let origin = Int(exactly: try reader.unsigned()) else {
                throw MalformedRecord(reason: "an origin's number is too large")
            }
            let sequence = try reader.unsigned()
            let version = LocalVersion(timestamp: timestamp, origin: origin, sequence: sequence)
            groups.append(Group(version: version, slots: try reader.unsigned()))
        }
        return groups
    }
}
