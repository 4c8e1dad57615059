import ClinicSyncCore
import ClinicSyncModel

/// The precomputed data of a table that the hot loops need.
final class TablePlan: Sendable {
    /// The table.
    let definition: TableDefinition
    /// The statements that read and write its rows.
    let sql: TableSQL
    /// How its rows are hashed.
    let hashing: TableHashing
    /// The name of each slot's column; `nil` where the column was dropped.
    let names: [String?]
    /// All slots but the key's.
    let valueSlots: UInt64
    /// The slots of counter columns.
    let counterSlots: UInt64
    /// The UNIQUEs of the table.
    let uniqueRules: [UniqueRule]
    /// The references to other tables' keys.
    let references: [ReferenceRule]
    /// The value of each slot's column when no program wrote it; the values stay in place as long as the plan lives.
    let defaults: PinnedValues
    /// Sets of slots that are always written together; see ``TableDefinition/units``.
    private let units: [UInt64]
    /// The places of the columns in a chunk that first used the columns in the order of their slots.
    let identityPlaces: [Int]
    private let slotsByName: [String: Int]

    /// Makes the plan of `definition`; `tables` has, by name, the tables that its references can refer to.
    init(_ definition: TableDefinition, among tables: [String: TableDefinition] = [:]) {
        self.definition = definition
        self.uniqueRules = definition.uniqueKeys.enumerated().compactMap { number, key in
            UniqueRule(key, number: number, definition: definition)
        }
        self.references = definition.foreignKeys.enumerated().compactMap { number, key in
            ReferenceRule(
                key,
                number: ReferenceRule.firstNumber + number,
                definition: definition,
                tables: tables
            )
        }
        var valueSlots: UInt64 = 0
        var counterSlots: UInt64 = 0
        var slotsByName: [String: Int] = [:]
        for column in definition.columns {
            let slot = column.slot
            if slot != definition.keySlot { valueSlots |= 1 << UInt64(slot) }
            if column.isCounter { counterSlots |= 1 << UInt64(slot) }
            slotsByName[column.name] = slot
        }
        self.valueSlots = valueSlots
        self.counterSlots = counterSlots
        self.slotsByName = slotsByName
        let slots = 0..<definition.slotCount
        let defaults = slots.map { definition.column(slot: $0)?.defaultValue ?? .null }
        self.names = slots.map { definition.column(slot: $0)?.name }
        self.defaults = PinnedValues(defaults)
        self.sql = TableSQL(definition, names: self.names)
        self.hashing = TableHashing(definition, names: self.names, defaults: defaults)
        self.units = definition.units.map { $0.reduce(0) { $0 | 1 << UInt64($1) } }
        var place = -1
        self.identityPlaces = self.names.enumerated().map { slot, name in
            if slot == definition.keySlot || name == nil { return -1 }
            place += 1
            return place
        }
    }

    // MARK: - Slots

    /// The number of slots; bit sets and arrays by slot have this size.
    var slotCount: Int { self.definition.slotCount }

    /// The key's slot.
    var keySlot: Int { self.definition.keySlot }

    /// The slot of the id of the user that a row belongs to; `nil` outside the category `user`.
    ///
    /// A table of this category without the column `userId` is the table of the users themselves. Its slot is the
    /// key's.
    var userSlot: Int? { self.definition.category == .user ? self.slotsByName["userId"] ?? self.keySlot : nil }

    /// The UNIQUE with the policy `merge`: rows with equal values become one row.
    var mergeRule: UniqueRule? { self.uniqueRules.first { $0.policy == .merge } }

    /// The slots of columns that only other nodes' tables have; see ``ColumnDefinition/isAside``.
    var asideSlots: UInt64 { self.valueSlots & ~self.sql.places.present }

    /// The slots of columns of which other nodes' values still stand aside; see ``ColumnDefinition/isFresh``.
    var freshSlots: UInt64 { self.sql.places.fresh }

    /// The slots of columns that may convert values of other nodes; see ``ColumnDefinition/isConverting``.
    var convertingSlots: UInt64 { self.sql.places.converting }

    /// Whether a lost value of this slot's column needs no entry in the journal; see ``ColumnDefinition/isDerived``.
    func isDerived(slot: Int) -> Bool { self.definition.column(slot: slot)?.isDerived == true }

    /// The slots of all UNIQUEs.
    var uniqueSlots: UInt64 { self.uniqueRules.reduce(0) { $0 | $1.mask } }

    /// `slots` and all slots that are always written together with one of them.
    func unitsTouched(by slots: UInt64) -> UInt64 {
        self.units.reduce(slots) { $1 & slots == 0 ? $0 : $0 | $1 }
    }

    /// The value that a column shows while no value of it is known: its default, or an empty text where NULL is not allowed.
    func placeholder(slot: Int) -> SQLiteValue {
        let value = self.defaults.values[slot]
        guard value == .null, self.definition.column(slot: slot)?.isNotNull == true else { return value }
        return .text([])
    }

    /// The largest size of a value in bytes; `nil` when only the limit of all rows applies.
    var valueBytesMax: Int? { SystemTableLimits.valueBytesMax(in: self.definition) }

    // MARK: - Names

    /// The slot of the column with this name, on this node or on nodes of another schema version.
    func slot(of name: String) -> Int? {
        self.slotsByName[name] ?? self.definition.otherNames[name.lowercased()]
    }

    /// Whether a peer's column name is unknown to this node, such as a column that a later migration adds.
    func isUnknown(_ name: String) -> Bool {
        !name.isEmpty && self.slot(of: name) == nil && !self.definition.droppedNames.contains(name.lowercased())
    }

    /// The names of the columns of `slots`.
    func columnNames(_ slots: UInt64) -> [String] {
        slots.setBits.compactMap { self.names[$0] }
    }

    // MARK: - Values

    /// The values of a state by slot.
    func values(of state: RowState) -> [SQLiteValue] {
        (0..<self.slotCount).map { slot in
            if self.counterSlots & (1 << UInt64(slot)) != 0 { return state.counterValue(slot: slot) }
            return state.value(slot: slot) ?? self.defaults.values[slot]
        }
    }
}
