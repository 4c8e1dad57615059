import ClinicSyncCore
import ClinicSyncModel

/// What the hot loops need of a table: its SQL and the order of its columns in hashes.
final class TablePlan: Sendable {
    /// The table.
    let definition: TableDefinition
    /// How many slots the table has; bits and arrays by slot have this size.
    let slotCount: Int
    /// The key's slot.
    let keySlot: Int
    /// All slots but the key's.
    let valueSlots: UInt64
    /// The slots of counter columns.
    let counterSlots: UInt64
    /// The UNIQUEs of the table.
    let uniqueRules: [UniqueRule]
    /// The one whose equal rows become one row.
    let mergeRule: UniqueRule?
    /// The slots of all UNIQUEs.
    let uniqueSlots: UInt64
    /// The references to other tables' keys.
    let references: [ReferenceRule]
    /// The slot that says which user a row belongs to, in tables of the category `user`.
    let userSlot: Int?
    /// The slots but the key's in the order of their columns' names, by which rows are hashed.
    let hashOrder: [Int]
    /// The hash of each slot's column name.
    let nameHashes: [UInt64]
    /// The slots whose columns have a DEFAULT other than NULL.
    let defaultSlots: UInt64
    /// The hash of each slot's default; 0 for NULL.
    let defaultHashes: [UInt64]
    /// What each slot's column holds when no program wrote it.
    let defaults: [SQLiteValue]
    /// The same where they stay as long as the plan does.
    let pinnedDefaults: PinnedValues
    /// Sets of slots that are always written together; see ``TableDefinition/units``.
    let units: [UInt64]
    /// Where the columns stand in a chunk that first used them in the order of slots.
    let identityPlaces: [Int]
    /// Reads a row by key; columns in the order of slots.
    let selectSQL: String
    /// Reads all rows.
    let selectAllSQL: String
    /// Inserts a row; parameters in the order of slots.
    let insertSQL: String
    /// Deletes a row by key.
    let deleteSQL: String
    /// The name of each slot's column; `nil` where the column was dropped.
    let names: [String?]
    private let selectList: String
    private let quotedName: String
    private let quotedKey: String
    private let slotsByName: [String: Int]

    /// Plans `definition`; its references are followed to those of `tables`, by name.
    init(_ definition: TableDefinition, among tables: [String: TableDefinition] = [:]) {
        self.definition = definition
        let uniqueRules = definition.uniqueKeys.enumerated().compactMap { number, key in
            UniqueRule(key, number: number, definition: definition)
        }
        self.uniqueRules = uniqueRules
        self.mergeRule = uniqueRules.first { $0.policy == .merge }
        self.uniqueSlots = uniqueRules.reduce(0) { $0 | $1.mask }
        self.references = definition.foreignKeys.enumerated().compactMap { number, key in
            ReferenceRule(
                key,
                number: ReferenceRule.firstNumber + number,
                definition: definition,
                tables: tables
            )
        }
        self.slotCount = definition.slotCount
        self.keySlot = definition.keySlot
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
        self.userSlot =
            definition.category == .user
            ? (definition.name == "users" ? definition.keySlot : slotsByName["userId"]) : nil
        self.hashOrder = definition.columns
            .filter { $0.slot != definition.keySlot }
            .sorted { $0.name < $1.name }
            .map(\.slot)
        self.names = (0..<definition.slotCount).map { definition.column(slot: $0)?.name }
        self.nameHashes = self.names.map { name in
            Array((name ?? "").utf8).withUnsafeBytes { SipHash.hash64($0) }
        }
        self.defaults = (0..<definition.slotCount).map { definition.column(slot: $0)?.defaultValue ?? .null }
        self.pinnedDefaults = PinnedValues(self.defaults)
        self.units = definition.units.map { $0.reduce(0) { $0 | 1 << UInt64($1) } }
        self.defaultHashes = self.defaults.map { ValueRef.with($0, RowHashes.column) }
        self.defaultSlots = self.defaultHashes.enumerated().reduce(0) {
            $1.element == 0 ? $0 : $0 | 1 << UInt64($1.offset)
        }
        var place = -1
        self.identityPlaces = self.names.enumerated().map { slot, name in
            if slot == definition.keySlot || name == nil { return -1 }
            place += 1
            return place
        }
        self.quotedName = TablePlan.quote(definition.name)
        self.quotedKey = TablePlan.quote(definition.keyColumn)
        self.selectList = self.names.map { $0.map(TablePlan.quote) ?? "NULL" }.joined(separator: ", ")
        self.selectSQL = "SELECT \(self.selectList) FROM \(self.quotedName) WHERE \(self.quotedKey) = ?1"
        self.selectAllSQL = "SELECT \(self.selectList) FROM \(self.quotedName)"
        let columns = definition.columns.map { TablePlan.quote($0.name) }.joined(separator: ", ")
        let parameters = definition.columns.map { "?\($0.slot + 1)" }.joined(separator: ", ")
        self.insertSQL = "INSERT INTO \(self.quotedName) (\(columns)) VALUES (\(parameters))"
        self.deleteSQL = "DELETE FROM \(self.quotedName) WHERE \(self.quotedKey) = ?1"
    }

    /// `slots` with all that is written together with one of them.
    func unitsTouched(by slots: UInt64) -> UInt64 {
        self.units.reduce(slots) { $1 & slots == 0 ? $0 : $0 | $1 }
    }

    /// The slot of the column with this name, or which has it on nodes of another schema version.
    func slot(of name: String) -> Int? {
        self.slotsByName[name] ?? self.definition.otherNames[name.lowercased()]
    }

    /// Whether this node does not know a peer's name for a column, such as the name of a column that is added later.
    func isUnknown(_ name: String) -> Bool {
        !name.isEmpty && self.slot(of: name) == nil && !self.definition.droppedNames.contains(name.lowercased())
    }

    /// Sets the columns of `slots` in the row with key ?1; the values are ?2, ?3, … in the order of slots.
    func updateSQL(slots: UInt64) -> String {
        let assignments = slots.setBits.enumerated()
            .map { "\(TablePlan.quote(self.names[$0.element] ?? "")) = ?\($0.offset + 2)" }
            .joined(separator: ", ")
        return "UPDATE \(self.quotedName) SET \(assignments) WHERE \(self.quotedKey) = ?1"
    }

    /// Marks every key of the table and every key the node knows, so that the collector compares them all.
    var markAllSQL: String {
        """
        INSERT INTO clinicsync_dirty (tableId, pk, writtenAt, n)
        SELECT ?1, \(self.quotedKey), ?2, 1 FROM \(self.quotedName) WHERE true
        UNION
        SELECT ?1, pk, ?2, 1 FROM clinicsync_row WHERE tableId = ?1
        ON CONFLICT (tableId, pk) DO UPDATE SET n = n + 1
        """
    }

    /// Inserts a row with these columns, the key's among them, or changes the row of that key; ?1, ?2, … are the values.
    ///
    /// Touches no row whose values are the same, storage classes included.
    func upsertSQL(columns: [String]) -> String {
        let names = columns.map { name in
            precondition(self.slotsByName[name] != nil, "\(self.definition.name) has no column \(name)")
            return TablePlan.quote(name)
        }
        let parameters = (1...names.count).map { "?\($0)" }.joined(separator: ", ")
        let insert = "INSERT INTO \(self.quotedName) (\(names.joined(separator: ", "))) VALUES (\(parameters))"
        let others = names.filter { $0 != self.quotedKey }
        guard !others.isEmpty else { return "\(insert) ON CONFLICT (\(self.quotedKey)) DO NOTHING" }
        let assignments = others.map { "\($0) = excluded.\($0)" }.joined(separator: ", ")
        let differences = others.map { "\(self.quotedName).\($0) IS NOT excluded.\($0)" }.joined(separator: " OR ")
        return "\(insert) ON CONFLICT (\(self.quotedKey)) DO UPDATE SET \(assignments) WHERE \(differences)"
    }

    /// Reads all rows in the order of their keys.
    var selectAllInOrderSQL: String { "\(self.selectAllSQL) ORDER BY \(self.quotedKey)" }

    /// Reads at most ?2 rows after the key ?1, or the first ones, in the order of their keys.
    ///
    /// There is no smallest key to begin with: a number would be compared as text, because the column is declared so.
    func selectPageSQL(isFirst: Bool) -> String {
        let range = isFirst ? "" : "WHERE \(self.quotedKey) > ?1"
        return "SELECT \(self.selectList) FROM \(self.quotedName) \(range) ORDER BY \(self.quotedKey) LIMIT ?2"
    }

    /// Whether the table has a row with the key `pk`.
    var existsSQL: String { "EXISTS (SELECT 1 FROM \(self.quotedName) WHERE \(self.quotedKey) = pk)" }

    /// The newest saved values of a deleted row; columns in the order of slots.
    var selectLastSQL: String {
        let table = TablePlan.quote(CaptureTriggers.lastTable(for: self.definition))
        return """
            SELECT \(self.selectList) FROM \(table) WHERE \(self.quotedKey) = ?1 ORDER BY rowid DESC LIMIT 1
            """
    }

    /// Saves the values of the row with key ?1, as the capture trigger does when it is deleted.
    var saveLastSQL: String {
        let table = TablePlan.quote(CaptureTriggers.lastTable(for: self.definition))
        let columns = self.definition.columns.map { TablePlan.quote($0.name) }.joined(separator: ", ")
        return """
            INSERT INTO \(table) (\(columns)) SELECT \(columns) FROM \(self.quotedName) WHERE \(self.quotedKey) = ?1
            """
    }

    /// Forgets the saved values of a row.
    var deleteLastSQL: String {
        let table = TablePlan.quote(CaptureTriggers.lastTable(for: self.definition))
        return "DELETE FROM \(table) WHERE \(self.quotedKey) = ?1"
    }

    /// The values of a state by slot, counters summed up.
    func values(of state: RowState) -> [SQLiteValue] {
        (0..<self.slotCount).map { slot in
            if self.counterSlots & (1 << UInt64(slot)) != 0 { return .integer(state.counterValue(slot: slot)) }
            return state.value(slot: slot) ?? self.defaults[slot]
        }
    }

    /// The names of the columns of `slots`.
    func columnNames(_ slots: UInt64) -> [String] {
        slots.setBits.compactMap { self.names[$0] }
    }

    static func quote(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}

/// The plans of all replicated tables.
struct TablePlans: Sendable {
    /// In the order of the tables' names.
    let all: [TablePlan]
    /// Those of the clinic, which people and programs see; see ``TableDefinition/isClinical``.
    let clinical: [TablePlan]
    private let byName: [String: TablePlan]
    private let byNumber: [Int: TablePlan]
    private let history: SchemaHistory
    private let childrenByParent: [Int: [Child]]

    /// A table that refers to another, and how.
    struct Child: Sendable {
        let plan: TablePlan
        let reference: ReferenceRule
    }

    /// Plans `tables`.
    init(_ tables: ClinicTables) {
        let definitions = Dictionary(uniqueKeysWithValues: tables.tables.map { ($0.name, $0) })
        self.all = tables.tables.map { TablePlan($0, among: definitions) }
        self.clinical = self.all.filter(\.definition.isClinical)
        self.history = tables.history
        self.byName = Dictionary(uniqueKeysWithValues: self.all.map { ($0.definition.name, $0) })
        self.byNumber = Dictionary(uniqueKeysWithValues: self.all.map { ($0.definition.number, $0) })
        var children: [Int: [Child]] = [:]
        for plan in self.all {
            for reference in plan.references {
                children[reference.parentTable, default: []].append(Child(plan: plan, reference: reference))
            }
        }
        self.childrenByParent = children
    }

    /// The tables that refer to the table of that number.
    func children(of number: Int) -> [Child] { self.childrenByParent[number] ?? [] }

    subscript(name: String) -> TablePlan? { self.byName[name] }

    subscript(number: Int) -> TablePlan? { self.byNumber[number] }

    /// The table that a node of another schema version calls so.
    func plan(calledElsewhere name: String) -> TablePlan? {
        if let plan = self.byName[name] { return plan }
        return self.all.first { self.history.formerNames(ofTable: $0.definition.name).contains(name.lowercased()) }
    }

    /// Whether this node does not know a peer's name for a table, such as the name of a table that is added later.
    func isUnknown(table name: String) -> Bool {
        self.plan(calledElsewhere: name) == nil && !self.history.isDropped(table: name)
    }

    /// The clinic's tables, or the one of that name.
    ///
    /// - Throws: ``UnknownTable`` when the clinic has no table of that name.
    func clinical(_ name: String?) throws -> [TablePlan] {
        guard let name else { return self.clinical }
        guard let plan = self[name], plan.definition.isClinical else { throw UnknownTable(name: name) }
        return [plan]
    }
}
