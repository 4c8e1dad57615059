import ClinicSyncModel

/// A reference from a table to the key of another table, as the projection uses it.
///
/// The projection does not change references of several columns, or references to columns that are not the key.
struct ReferenceRule: Sendable {
    /// The smallest number of a reference rule; smaller numbers are UNIQUE rules.
    static let firstNumber = 64

    /// The rule's number in the index of claims.
    let number: Int
    /// The slot of the referring column.
    let slot: Int
    /// The number of the table that the column refers to.
    let parentTable: Int
    /// What happens to the child of a deleted row.
    let policy: ReferencePolicy
    /// Finds the keys of the rows that show the reference ?1.
    let childrenSQL: String

    /// Reads a reference of `definition`; `nil` when the projection does not follow it.
    init?(_ key: ForeignKey, number: Int, definition: TableDefinition, tables: [String: TableDefinition]) {
        // SQLite ignores the case of the names of tables and columns.
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
