import ClinicSyncModel

/// A reference of a table to another's key as the projection uses it.
///
/// References of several columns, or to other columns than the key, are left as programs write them.
struct ReferenceRule: Sendable {
    /// The claims of rules from this number on are references.
    static let firstNumber = 64

    /// Its number, by which the index of claims knows it.
    let number: Int
    /// The slot of the referring column.
    let slot: Int
    /// The number of the table it refers to.
    let parentTable: Int
    /// What becomes of the child of a deleted row.
    let policy: ReferencePolicy
    /// Finds the keys of the rows that show the reference ?1.
    let childrenSQL: String

    /// Reads a reference of `definition`; `nil` when it is none that is followed.
    init?(_ key: ForeignKey, number: Int, definition: TableDefinition, tables: [String: TableDefinition]) {
        // SQLite finds tables and columns whatever their case.
        let parent = tables.first { $0.key.lowercased() == key.parentTable.lowercased() }?.value
        guard let parent, key.columns.count == 1, let slot = definition.column(key.columns[0])?.slot,
            slot != definition.keySlot
        else { return nil }
        let column = key.parentColumns.first ?? parent.keyColumn
        guard key.parentColumns.count <= 1, column.lowercased() == parent.keyColumn.lowercased() else { return nil }
        self.number = number
        self.slot = slot
        self.parentTable = parent.number
        self.policy = key.policy
        self.childrenSQL = """
            SELECT \(SQLText.name(definition.keyColumn)) FROM \(SQLText.name(definition.name)) \
            WHERE \(SQLText.name(key.columns[0])) = ?1
            """
    }
}
