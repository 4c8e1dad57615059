import ClinicSyncModel

/// What the node knows of one visible row beside its values: a row of `clinicsync_row`.
struct RowMeta {
    /// Columns that were written by another version than the row's birth.
    struct Group {
        var version: LocalVersion
        var slots: UInt64
    }

    var birth: LocalVersion
    /// The hash of what the table shows; ``unknownHash`` when the row was damaged here.
    var hash: Digest
    /// The lower 32 bits of each slot's hash; 0 for the default and for slots that did not exist then.
    var columns: [UInt32]
    var groups: [Group]
    var context: Int?

    /// Stands for the hash of a row whose versions were damaged and are not fetched from another node yet.
    ///
    /// No row has this hash. So the table's digest differs from that of the other nodes, and the next reconciliation brings the
    /// row's state.
    static let unknownHash = Digest.zero

    /// Whether the row's versions were damaged and are not fetched from another node yet.
    var isUnknown: Bool { self.hash == RowMeta.unknownHash }

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
        let changed = self.differingSlots(hashes, plan: plan)
        // The row differs and no column seems to: a collision of 32 bits. Take every column rather than lose the edit.
        return changed == 0 && !self.isUnknown ? plan.valueSlots : changed
    }

    /// The slots whose stored 32 bits differ from `hashes`, whatever the row's hash is.
    func differingSlots(_ hashes: RowHashes, plan: TablePlan) -> UInt64 {
        var differing: UInt64 = 0
        for slot in plan.hashing.order {
            let stored = slot < self.columns.count ? self.columns[slot] : 0
            if stored != RowMeta.short(hashes.columns[slot]) { differing |= 1 << UInt64(slot) }
        }
        return differing
    }

    /// The 32 bits that are stored of a column's hash; 0 exactly for the default.
    static func short(_ hash: UInt64) -> UInt32 {
        hash == 0 ? 0 : max(UInt32(truncatingIfNeeded: hash), 1)
    }

    /// The 32 bits that are stored of a column's hash, for a value of the column.
    static func short(of value: ValueRef, _ plan: TablePlan, slot: Int) -> UInt32 {
        self.short(RowHashes.relative(RowHashes.column(value), to: plan.hashing.defaults[slot]))
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

    /// Reads the `registers` blob, whose stamps are relative to `birth`, a stamp as it is stored.
    static func readGroups(
        _ bytes: UnsafeRawBufferPointer,
        birth: UInt64
    ) throws(MalformedRecord) -> [Group] {
        var reader = ByteReader(bytes)
        var groups: [Group] = []
        while !reader.isAtEnd {
            let number = birth &+ UInt64(bitPattern: try reader.signed())
            let timestamp = HybridTimestamp(rawValue: number).rawValue
            guard let origin = Int(exactly: try reader.unsigned()) else {
                throw MalformedRecord(reason: "an origin's number is too large")
            }
            let sequence = try reader.sequence()
            let version = LocalVersion(timestamp: timestamp, origin: origin, sequence: sequence)
            groups.append(Group(version: version, slots: try reader.unsigned()))
        }
        return groups
    }
}
