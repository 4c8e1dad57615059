import ClinicSyncCore
import ClinicSyncModel

/// What the hot loops need of a table.
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
    /// What each slot's column holds when no program wrote it; the values stay in place as long as the plan does.
    let defaults: PinnedValues
    /// Sets of slots that are always written together; see ``TableDefinition/units``.
    private let units: [UInt64]
    /// Where the columns stand in a chunk that first used them in the order of slots.
    let identityPlaces: [Int]
    private let slotsByName: [String: Int]

    /// Plans `definition`; its references are followed to those of `tables`, by name.
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

    /// The number of slots; bits and arrays by slot have this size.
    var slotCount: Int { self.definition.slotCount }

    /// The key's slot.
    var keySlot: Int { self.definition.keySlot }

    /// The slot that says which user a row belongs to, in tables of the category `user`.
    ///
    /// A table of that category without the column `userId` is that of the users themselves.
    var userSlot: Int? { self.definition.category == .user ? self.slotsByName["userId"] ?? self.keySlot : nil }

    /// The UNIQUE whose equal rows become one row.
    var mergeRule: UniqueRule? { self.uniqueRules.first { $0.policy == .merge } }

    /// The slots of all UNIQUEs.
    var uniqueSlots: UInt64 { self.uniqueRules.reduce(0) { $0 | $1.mask } }

    /// `slots` with all that is written together with one of them.
    func unitsTouched(by slots: UInt64) -> UInt64 {
        self.units.reduce(slots) { $1 & slots == 0 ? $0 : $0 | $1 }
    }

    // MARK: - Names

    /// The slot of the column with this name, or which has it on nodes of another schema version.
    func slot(of name: String) -> Int? {
        self.slotsByName[name] ?? self.definition.otherNames[name.lowercased()]
    }

    /// Whether this node does not know a peer's name for a column, such as the name of a column that is added later.
    func isUnknown(_ name: String) -> Bool {
        !name.isEmpty && self.slot(of: name) == nil && !self.definition.droppedNames.contains(name.lowercased())
    }

    /// The names of the columns of `slots`.
    func columnNames(_ slots: UInt64) -> [String] {
        slots.setBits.compactMap { self.names[$0] }
    }

    // MARK: - Values

    /// The values of a state by slot, counters summed up.
    func values(of state: RowState) -> [SQLiteValue] {
        (0..<self.slotCount).map { slot in
            if self.counterSlots & (1 << UInt64(slot)) != 0 { return .integer(state.counterValue(slot: slot)) }
            return state.value(slot: slot) ?? self.defaults.values[slot]
        }
    }
}
