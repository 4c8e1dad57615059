import ClinicSyncModel

/// The plans of all replicated tables.
struct TablePlans: Sendable {
    /// The plans in the order of the tables' names.
    let all: [TablePlan]
    /// The plans of the clinic's tables, which people and programs see; see ``TableDefinition/isClinical``.
    let clinical: [TablePlan]
    /// The definitions that the plans were made of.
    let tables: ClinicTables
    private let byName: [String: TablePlan]
    private let byNumber: [Int: TablePlan]
    private let history: SchemaHistory
    private let childrenByParent: [Int: [Child]]
    /// The numbers of the tables of which nodes forget deleted rows.
    private let forgetful: Set<Int>

    /// A table that refers to another table, with the rule of the reference.
    struct Child: Sendable {
        let plan: TablePlan
        let reference: ReferenceRule
    }

    /// Makes the plans of `tables`.
    init(_ tables: ClinicTables) {
        let definitions = Dictionary(uniqueKeysWithValues: tables.tables.map { ($0.name, $0) })
        self.all = tables.tables.map { TablePlan($0, among: definitions) }
        self.clinical = self.all.filter(\.definition.isClinical)
        self.tables = tables
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
        let parents = Set(tables.tables.flatMap { $0.foreignKeys.map { $0.parentTable.lowercased() } })
        self.forgetful = Set(
            self.all.filter {
                $0.counterSlots == 0 && $0.mergeRule == nil && !parents.contains($0.definition.name.lowercased())
                    && !SystemTableLimits.keepsTombstones($0.definition)
            }
            .map(\.definition.number)
        )
    }

    /// Whether this node removes tombstones of a table.
    ///
    /// Those of rows that others may refer to stay, because what becomes of the others depends on them. So do those of rows with
    /// counters, and of rows that can be one with another row.
    func forget(_ plan: TablePlan) -> Bool { self.forgetful.contains(plan.definition.number) }

    /// The tables that refer to the table with this number.
    func children(of number: Int) -> [Child] { self.childrenByParent[number] ?? [] }

    subscript(name: String) -> TablePlan? { self.byName[name] }

    subscript(number: Int) -> TablePlan? { self.byNumber[number] }

    /// The table that a node of another schema version calls `name`.
    func plan(calledElsewhere name: String) -> TablePlan? {
        if let plan = self.byName[name] { return plan }
        return self.all.first { self.history.formerNames(ofTable: $0.definition.name).contains(name.lowercased()) }
    }

    /// Whether a peer's table name is unknown to this node, such as a table that a later migration adds.
    func isUnknown(table name: String) -> Bool {
        self.plan(calledElsewhere: name) == nil && !self.history.isDropped(table: name)
    }

    /// The plan of the clinic's table with this name, or of all the clinic's tables when `name` is `nil`.
    ///
    /// - Throws: ``UnknownTable`` when the clinic has no table with this name.
    func clinical(_ name: String?) throws -> [TablePlan] {
        guard let name else { return self.clinical }
        guard let plan = self[name], plan.definition.isClinical else {
            throw UnknownTable(name: name, among: self.clinical.map(\.definition.name))
        }
        return [plan]
    }
}
