package import ClinicSyncCore
package import ClinicSyncModel

/// A replicated table: its DDL and its manifest entry, checked against each other.
package struct TableDefinition: Sendable, Hashable {
    /// How many columns a table can ever have had: a set of slots is one 64-bit word with a bit to spare.
    package static let columnsMax = 63

    /// Its number in this file, for ever; other nodes have other numbers.
    package let number: Int
    /// Its name, spelt as in the DDL.
    package let name: String
    /// The group of tables by which programs subscribe.
    package let category: EventCategory
    /// The name of the primary key, a `TEXT NOT NULL` column.
    package let keyColumn: String
    /// The slot of the primary key.
    package let keySlot: Int
    /// The replicated columns, the key among them, in the order of their slots.
    ///
    /// Slots ascend but need not be contiguous: that of a dropped column is never used again.
    package let columns: [ColumnDefinition]
    /// The UNIQUE constraints and unique indexes other than the primary key, ordered by their columns.
    package let uniqueKeys: [UniqueKey]
    /// The references to other tables, ordered by their columns.
    package let foreignKeys: [ForeignKey]
    /// What a deletion does to an edit that its author had not seen.
    package let deletePolicy: DeletePolicy
    /// Whether rows are only ever added.
    package let isAppendOnly: Bool
    /// The columns to which increments of all nodes add up, in the order of their slots.
    package let counters: [String]
    /// The slots of the columns that merge as one, because a CHECK speaks of them together; no slot is in two sets.
    ///
    /// Each value alone may be fine and the mixture of two PCs' edits not, so the later edit counts as a whole.
    package let units: [[Int]]
    /// The keys of the rows that every install starts with.
    package let seedKeys: Set<String>
    /// Names that nodes of other schema versions use for columns, in small letters, with the slots.
    package let otherNames: [String: Int]
    /// Names of columns that the table once had, in small letters: what others still send of them is passed over.
    package let droppedNames: Set<String>

    /// Whether it is one of the clinic's tables; the others the nodes fill themselves, to know one another.
    ///
    /// All are captured, logged, merged and compared alike. What people and programs see is about the clinic's alone.
    package var isClinical: Bool { self.category != .system }

    /// How many slots have been given out: one more than the largest slot ever used.
    package let slotCount: Int

    /// The column of that slot; `nil` when it was dropped or never existed.
    package func column(slot: Int) -> ColumnDefinition? {
        if slot < self.columns.count, self.columns[slot].slot == slot { return self.columns[slot] }
        return self.columns.first { $0.slot == slot }
    }

    /// The column of that name.
    package func column(_ name: String) -> ColumnDefinition? {
        self.columns.first { $0.name == name }
    }
}

/// A replicated column.
package struct ColumnDefinition: Sendable, Hashable {
    /// Its name, spelt as in the DDL.
    package let name: String
    /// Its index in the node's metadata, for ever; the place in the DDL does not matter.
    package let slot: Int
    /// The declared type, possibly empty.
    package let declaredType: String
    /// Whether it is NOT NULL.
    package let isNotNull: Bool
    /// Whether increments of all nodes add up in it.
    package let isCounter: Bool
    /// What it holds when no program wrote it: its DEFAULT if that is one value for all rows, else NULL.
    package let defaultValue: SQLiteValue
}

/// Columns in which no two rows of the table may hold equal values.
package struct UniqueKey: Sendable, Hashable {
    /// The columns, in the order of the index.
    package let columns: [String]
    /// The collation by which each column is compared.
    package let collations: [String]
    /// The WHERE expression of a partial index; `nil` when all rows count.
    package let predicate: String?
    /// What becomes of the second of two equal values.
    package let policy: DuplicatePolicy
}

/// A reference to another table.
package struct ForeignKey: Sendable, Hashable {
    /// The referring columns.
    package let columns: [String]
    /// The table they refer to.
    package let parentTable: String
    /// The columns they refer to; empty: the parent's primary key.
    package let parentColumns: [String]
    /// What becomes of the row when its parent is deleted.
    package let policy: ReferencePolicy
}

/// What becomes of the later of two rows that claim the same UNIQUE value.
package enum DuplicatePolicy: String, Sendable, Hashable, CaseIterable {
    /// It shows its value with a suffix, in the last column of the constraint.
    case suffix
    /// It shows NULL.
    case null
    /// It is hidden from the table and shown in the journal.
    case park
    /// It becomes one row with the earlier.
    case merge
}

/// What happens to a row when the row it refers to was deleted by a node that did not know of it.
///
/// What SQLite does to the rows that the deleter's file holds are changes like any other; rows that he left are left alone.
package enum ReferencePolicy: String, Sendable, Hashable, CaseIterable {
    /// It brings the row it refers to back: what `ON DELETE CASCADE`, `NO ACTION` and `RESTRICT` come to between PCs.
    case revive
    /// It goes too.
    case cascade
    /// The reference becomes NULL: what `ON DELETE SET NULL` comes to.
    case null
    /// It stays as it is.
    case keep
}
