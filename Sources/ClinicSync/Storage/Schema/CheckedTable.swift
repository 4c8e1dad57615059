import ClinicSyncModel

/// A table's DDL and its manifest entry, checked to be free of contradictions.
struct CheckedTable {
    private let ddl: TableDDL
    private let rules: Manifest.Table
    private let keyColumn: String
    private let uniqueKeys: [UniqueKey]
    private let ownIndexes: [OwnIndex]
    private let foreignKeys: [ForeignKey]
    private let units: [Set<String>]
    /// The key, the counters, and the columns of UNIQUEs and references: their conflicts matter.
    private let bound: Set<String>

    /// Checks the DDL against the manifest entry.
    ///
    /// - Parameters:
    ///   - ddl: the definition.
    ///   - rules: the manifest entry.
    ///   - history: tells the indexes that migrations made from those of programs; `nil` when a program cannot have made any.
    /// - Throws: ``SchemaError`` for the first contradiction.
    init(ddl: TableDDL, rules: Manifest.Table, history: SchemaHistory? = nil) throws {
        self.ddl = ddl
        self.rules = rules
        self.keyColumn = try Self.key(of: ddl, isForgiving: history != nil)
        let own = ddl.uniqueIndexes.filter { Self.isOwn($0, rules: rules, history: history) }
        self.ownIndexes = own.map { OwnIndex($0, of: ddl) }
        let common = ddl.uniqueIndexes.filter { index in !own.contains { $0.name == index.name } }
        self.uniqueKeys = try Self.uniqueKeys(common, of: ddl, rules: rules)
        self.foreignKeys = try Self.foreignKeys(of: ddl, rules: rules)
        try Self.checkCounters(of: ddl, rules: rules, key: self.keyColumn, uniqueKeys: self.uniqueKeys)
        self.bound = Set(
            [self.keyColumn] + rules.counters + self.uniqueKeys.flatMap(\.columns) + self.foreignKeys.flatMap(\.columns)
        )
        try Self.checkDerived(of: ddl, rules: rules, bound: self.bound, isForgiving: history != nil)
        self.units = ddl.checks.units(without: self.keyColumn)
        if let counter = rules.counters.first(where: { name in self.units.contains { $0.contains(name) } }) {
            throw SchemaError.counterInCheck(table: ddl.name, column: counter)
        }
    }

    /// Makes the definition with the number and the slots from the registry.
    ///
    /// - Parameters:
    ///   - number: the table's number.
    ///   - slots: the names of columns by slot.
    ///   - aside: columns that only other nodes' files have.
    ///   - fresh: the slots of columns that stood aside until now.
    ///   - common: the defaults and types of the columns as the clinic has them.
    ///   - history: what migrations renamed and dropped.
    /// - Returns: The definition.
    /// - Throws: ``SchemaError``.
    func definition(
        number: Int,
        slots: [String],
        aside: [AsideColumns.Column] = [],
        fresh: Set<Int> = [],
        common: CommonColumns,
        history: SchemaHistory
    ) throws -> TableDefinition {
        guard slots.count <= TableDefinition.columnsMax else {
            throw SchemaError.tooManyColumns(table: self.ddl.name, count: slots.count)
        }
        guard self.ddl.name.utf8.count <= TableDefinition.nameBytesMax else {
            throw SchemaError.longName(table: self.ddl.name, column: nil)
        }
        if let name = slots.first(where: { $0.utf8.count > TableDefinition.nameBytesMax }) {
            throw SchemaError.longName(table: self.ddl.name, column: name)
        }
        let slotByName = Dictionary(slots.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        let present = self.ddl.columns.compactMap { column in
            slotByName[column.name].map { slot in
                ColumnDefinition(
                    name: column.name,
                    slot: slot,
                    declaredType: column.declaredType,
                    isNotNull: column.isNotNull,
                    isCounter: self.rules.counters.contains(column.name),
                    isDerived: self.isDerived(column.name),
                    defaultValue: common.defaults[column.name] ?? .null,
                    isFresh: fresh.contains(slot),
                    commonAffinity: self.commonAffinity(of: column, common, history)
                )
            }
        }
        let columns = (present + aside.map(self.standingAside)).sorted { $0.slot < $1.slot }
        guard present.count == self.ddl.columns.count, let keySlot = slotByName[self.keyColumn] else {
            throw SchemaError.damagedRegistry(table: self.ddl.name)
        }
        return TableDefinition(
            number: number,
            name: self.ddl.name,
            category: self.rules.category,
            keyColumn: self.keyColumn,
            keySlot: keySlot,
            columns: columns,
            uniqueKeys: self.uniqueKeys,
            ownIndexes: self.ownIndexes,
            foreignKeys: self.foreignKeys,
            deletePolicy: self.rules.deletes,
            isAppendOnly: self.rules.isAppendOnly,
            counters: columns.filter(\.isCounter).map(\.name),
            units: self.units.map { unit in columns.filter { unit.contains($0.name) }.map(\.slot) },
            seedKeys: Set(self.rules.seeds.map(SQLiteValue.string)),
            otherNames: self.otherNames(slotByName, history),
            droppedNames: history.dropped(from: self.ddl.name)
                .union(slots.map { $0.lowercased() })
                .subtracting(columns.map { $0.name.lowercased() }),
            slotCount: slots.count
        )
    }

    /// A column that only other nodes' files have.
    private func standingAside(_ column: AsideColumns.Column) -> ColumnDefinition {
        ColumnDefinition(
            name: column.name,
            slot: column.slot,
            declaredType: "",
            isNotNull: false,
            isCounter: false,
            isDerived: self.isDerived(column.name),
            defaultValue: column.defaultValue,
            isAside: true,
            isVanished: column.isVanished
        )
    }

    /// The clinic's affinity of a column in which values of other nodes may become others in this file; `nil` for all others.
    private func commonAffinity(
        of column: TableDDL.Column,
        _ common: CommonColumns,
        _ history: SchemaHistory
    ) -> Affinity? {
        guard column.name != self.keyColumn, !self.rules.counters.contains(column.name) else { return nil }
        let own = Affinity(declaredType: column.declaredType)
        // Other PCs may have added the column with any type.
        if history.isAdded(column.name, to: self.ddl.name) { return own == .blob ? nil : .blob }
        guard let type = common.types[column.name] else { return nil }
        let affinity = Affinity(declaredType: type)
        return affinity == own ? nil : affinity
    }

    private func isDerived(_ column: String) -> Bool {
        guard !self.bound.contains(column) else { return false }
        return self.rules.derived?.contains(column) ?? Manifest.Table.isDerivedByName(column)
    }

    /// The names that nodes of other schema versions use for the columns, in small letters, with the slots.
    private func otherNames(_ slots: [String: Int], _ history: SchemaHistory) -> [String: Int] {
        var names: [String: Int] = [:]
        let live = Dictionary(
            self.ddl.columns.map { ($0.name.lowercased(), $0.name) },
            uniquingKeysWith: { first, _ in first }
        )
        for (former, present) in history.formerNames(ofColumnsOf: self.ddl.name) {
            // This node may not have applied the renaming yet. Then other nodes use the new name.
            switch (live[former], live[present]) {
            case (nil, let name?): names[former] = slots[name]
            case (let name?, nil): names[present] = slots[name]
            default: break
            }
        }
        return names
    }

    /// Whether a program made a UNIQUE for its own file: an index that no migration made, or a constraint of a table made again
    /// that the manifest does not know.
    private static func isOwn(
        _ index: TableDDL.UniqueIndex,
        rules: Manifest.Table,
        history: SchemaHistory?
    ) -> Bool {
        guard let history else { return false }
        if index.isCreated { return !history.hasIndex(index.name) }
        return rules.duplicates[index.columns.map { $0 ?? "" }.joined(separator: ",")] == nil
    }

    /// The key column; `isForgiving`: whether it may lack NOT NULL, because our triggers refuse NULL as well.
    private static func key(of ddl: TableDDL, isForgiving: Bool) throws -> String {
        func unusable(_ column: String?, _ reason: String) -> SchemaError {
            .unusableKey(table: ddl.name, column: column, reason: reason)
        }
        guard let part = ddl.key.first else { throw unusable(nil, "is missing") }
        guard ddl.key.count == 1 else { throw unusable(nil, "has \(ddl.key.count) columns") }
        guard let column = ddl.columns.first(where: { $0.name == part.column }) else {
            throw SchemaError.generatedColumn(table: ddl.name, column: part.column)
        }
        guard column.declaredType.uppercased() == "TEXT" else { throw unusable(column.name, "is not declared TEXT") }
        guard column.isNotNull || isForgiving else { throw unusable(column.name, "may be NULL") }
        guard part.collation.uppercased() == "BINARY" else {
            throw unusable(column.name, "has the collation \(part.collation)")
        }
        return column.name
    }

    private static func uniqueKeys(
        _ indexes: [TableDDL.UniqueIndex],
        of ddl: TableDDL,
        rules: Manifest.Table
    ) throws -> [UniqueKey] {
        var keys: [UniqueKey] = []
        for index in indexes {
            let columns = index.columns.compactMap(\.self)
            guard columns.count == index.columns.count else {
                throw SchemaError.uniqueExpression(table: ddl.name, index: index.name)
            }
            if let column = columns.first(where: ddl.generatedColumns.contains) {
                throw SchemaError.generatedColumn(table: ddl.name, column: column)
            }
            guard let policy = rules.duplicates[columns.joined(separator: ",")] else {
                throw SchemaError.uniqueWithoutPolicy(table: ddl.name, columns: columns.joined(separator: ","))
            }
            let key = UniqueKey(
                columns: columns,
                collations: index.collations,
                predicate: index.predicate,
                policy: policy
            )
            if policy == .null, let column = columns.last, ddl.isNotNull(column) {
                throw SchemaError.policyNeedsNull(table: ddl.name, column: column, rule: "duplicates")
            }
            if !keys.contains(key) { keys.append(key) }
        }
        guard keys.count(where: { $0.policy == .merge }) <= 1 else { throw SchemaError.severalMerges(table: ddl.name) }
        let known = Set(keys.map { $0.columns.joined(separator: ",") })
        if let columns = rules.duplicates.keys.sorted().first(where: { !known.contains($0) }) {
            for column in columns.split(separator: ",").map(String.init) {
                try Self.check(column, of: ddl, rule: "duplicates")
            }
            throw SchemaError.policyWithoutUnique(table: ddl.name, columns: columns)
        }
        return keys.sorted { $0.columns.lexicographicallyPrecedes($1.columns) }
    }

    private static func foreignKeys(of ddl: TableDDL, rules: Manifest.Table) throws -> [ForeignKey] {
        for (column, policy) in rules.references.sorted(by: { $0.key < $1.key }) {
            try Self.check(column, of: ddl, rule: "references")
            guard ddl.references.contains(where: { $0.columns.last == column }) else {
                throw SchemaError.policyWithoutReference(table: ddl.name, column: column)
            }
            if policy == .null, ddl.isNotNull(column) {
                throw SchemaError.policyNeedsNull(table: ddl.name, column: column, rule: "references")
            }
        }
        return ddl.references.map { reference in
            let declared: ReferencePolicy =
                switch reference.onDelete.uppercased() {
                case "SET NULL" where !reference.columns.contains(where: ddl.isNotNull): .null
                default: .revive
                }
            return ForeignKey(
                columns: reference.columns,
                parentTable: reference.parentTable,
                parentColumns: reference.parentColumns,
                policy: reference.columns.last.flatMap { rules.references[$0] } ?? declared
            )
        }
    }

    private static func checkCounters(
        of ddl: TableDDL,
        rules: Manifest.Table,
        key: String,
        uniqueKeys: [UniqueKey]
    ) throws {
        for name in rules.counters {
            try Self.check(name, of: ddl, rule: "counters")
            let column = ddl.columns.first { $0.name == name }
            let isUnique = uniqueKeys.contains { $0.columns.contains(name) }
            let start = ddl.defaults[name] ?? .integer(0)
            guard let column, column.declaredType.uppercased() == "INTEGER", column.isNotNull, !isUnique,
                start == .integer(0)
            else {
                throw SchemaError.unusableCounter(table: ddl.name, column: name)
            }
        }
    }

    /// `isForgiving`: whether a column may be missing, because a program may have dropped it.
    private static func checkDerived(
        of ddl: TableDDL,
        rules: Manifest.Table,
        bound: Set<String>,
        isForgiving: Bool
    ) throws {
        for name in rules.derived ?? [] {
            if !isForgiving { try Self.check(name, of: ddl, rule: "derived") }
            guard !bound.contains(name) else { throw SchemaError.unusableDerived(table: ddl.name, column: name) }
        }
    }

    private static func check(_ column: String, of ddl: TableDDL, rule: String) throws {
        if ddl.generatedColumns.contains(column) {
            throw SchemaError.generatedColumn(table: ddl.name, column: column)
        }
        guard ddl.columns.contains(where: { $0.name == column }) else {
            throw SchemaError.missingColumn(table: ddl.name, column: column, rule: rule)
        }
    }
}

extension OwnIndex {
    fileprivate init(_ index: TableDDL.UniqueIndex, of ddl: TableDDL) {
        let columns = index.columns.compactMap(\.self)
        let isPlain = columns.count == index.columns.count && !columns.contains(where: ddl.generatedColumns.contains)
        self.init(
            name: index.name,
            key: isPlain
                ? UniqueKey(
                    columns: columns,
                    collations: index.collations,
                    predicate: index.predicate,
                    policy: .park
                ) : nil
        )
    }
}

extension TableDDL {
    fileprivate func isNotNull(_ column: String) -> Bool {
        self.columns.first { $0.name == column }?.isNotNull ?? false
    }
}
