package import ClinicSyncCore
package import ClinicSyncModel

/// A replicated table: its DDL and its manifest entry, checked against each other.
package struct TableDefinition: Sendable, Hashable {
    /// The largest number of columns of a table, dropped columns included.
    ///
    /// A set of slots is a 64-bit word; one bit of it is spare.
    package static let columnsMax = 63
    /// The largest number of replicated tables: a message between nodes names them all.
    package static let tablesMax = 256
    /// The largest name of a table or column, in bytes: other nodes take no longer one.
    package static let nameBytesMax = 256

    /// The table's number in this file; it never changes, and other nodes have other numbers.
    package let number: Int
    /// The table's name, spelt as in the DDL.
    package let name: String
    /// The group of tables by which programs subscribe.
    package let category: EventCategory
    /// The name of the primary key, a `TEXT NOT NULL` column.
    package let keyColumn: String
    /// The slot of the primary key.
    package let keySlot: Int
    /// The replicated columns, including the key, in the order of their slots.
    ///
    /// Slots ascend but can have gaps: the slot of a dropped column is never used again.
    package let columns: [ColumnDefinition]
    /// The UNIQUE constraints and unique indexes other than the primary key, ordered by their columns.
    package let uniqueKeys: [UniqueKey]
    /// The UNIQUEs that only this PC's file has: a program made them, and no rule of the clinic names them.
    package let ownIndexes: [OwnIndex]
    /// The references to other tables, ordered by their columns.
    package let foreignKeys: [ForeignKey]
    /// What a deletion does to an edit that the deletion's author had not seen.
    package let deletePolicy: DeletePolicy
    /// Whether programs only insert rows and never change or delete them.
    package let isAppendOnly: Bool
    /// The counter columns, in the order of their slots; the increments of all nodes add up in them.
    package let counters: [String]
    /// Sets of slots that merge together because a CHECK names their columns together; no slot is in two sets.
    ///
    /// The edits of two PCs can each pass the CHECK while a mixture of them fails. So the later edit wins in all
    /// columns of the set.
    package let units: [[Int]]
    /// The keys of the rows that every install starts with.
    package let seedKeys: Set<SQLiteValue>
    /// The names that nodes of other schema versions use for columns, in small letters, with the slots.
    package let otherNames: [String: Int]
    /// The names of dropped columns, in small letters; the node ignores the values that other nodes still send for
    /// them.
    package let droppedNames: Set<String>

    /// Whether the table is one of the clinic's; the nodes fill the other tables with data about themselves.
    ///
    /// The node captures, logs, merges and compares both kinds in the same way. People and programs see only the
    /// clinic's tables.
    package var isClinical: Bool { self.category != .system }

    /// The number of slots that were ever used; slots start at 0.
    package let slotCount: Int

    /// The columns that the table in this node's file has; see ``ColumnDefinition/isAside``.
    package var presentColumns: [ColumnDefinition] { self.columns.filter { !$0.isAside } }

    /// The column with this slot; `nil` when the column was dropped or never existed.
    package func column(slot: Int) -> ColumnDefinition? {
        if slot < self.columns.count, self.columns[slot].slot == slot { return self.columns[slot] }
        return self.columns.first { $0.slot == slot }
    }

    /// The column with this name.
    package func column(_ name: String) -> ColumnDefinition? {
        self.columns.first { $0.name == name }
    }
}

/// A replicated column.
package struct ColumnDefinition: Sendable, Hashable {
    /// The column's name, spelt as in the DDL.
    package let name: String
    /// The column's index in the node's metadata; it never changes and does not depend on the order in the DDL.
    package let slot: Int
    /// The declared type, possibly empty.
    package let declaredType: String
    /// Whether the column is NOT NULL.
    package let isNotNull: Bool
    /// Whether the column is a counter: the increments of all nodes add up in it.
    package let isCounter: Bool
    /// Whether a lost value of the column needs no entry in the conflict journal, because programs set it at each save.
    package var isDerived = false
    /// The column's value when no program wrote it: its DEFAULT if the DEFAULT is constant, otherwise NULL.
    package let defaultValue: SQLiteValue
    /// Whether only other nodes' tables have the column: this node keeps its values in `clinicsync_aside`.
    package var isAside = false
    /// Whether the column stood aside until now, and other nodes' values of some rows still do: a program wrote another value.
    package var isFresh = false
    /// The clinic's affinity of the column if its type in this file may convert values of other nodes.
    ///
    /// `clinicsync_aside` has the values that it converts. The affinity is `blob`, which converts nothing, when PCs may have
    /// added the column with any type.
    var commonAffinity: Affinity?
    /// Whether a program dropped the column, and this is the first look since then.
    package var isVanished = false
}

extension ColumnDefinition {
    /// Whether the column's type in this file may convert values of other nodes.
    var isConverting: Bool { self.commonAffinity != nil }
}

/// Columns in which no two rows of the table may hold equal values.
package struct UniqueKey: Sendable, Hashable {
    /// The columns, in the order of the index.
    package let columns: [String]
    /// The collation by which each column is compared.
    package let collations: [String]
    /// The WHERE expression of a partial index; `nil` when all rows count.
    package let predicate: String?
    /// What happens to the later of two equal values.
    package let policy: DuplicatePolicy
}

/// A UNIQUE that only this PC's file has.
///
/// It decides nothing that is replicated: a row that it refuses waits on this PC, and the other PCs show it.
package struct OwnIndex: Sendable, Hashable {
    /// The index's name.
    package let name: String
    /// What it compares, without a policy; `nil` when that is an expression.
    package let key: UniqueKey?
}

/// A reference to another table.
package struct ForeignKey: Sendable, Hashable {
    /// The referring columns.
    package let columns: [String]
    /// The table they refer to.
    package let parentTable: String
    /// The columns they refer to; empty means the parent's primary key.
    package let parentColumns: [String]
    /// What happens to the row when its parent is deleted.
    package let policy: ReferencePolicy
}

/// What happens to the later of two rows that claim the same UNIQUE value.
package enum DuplicatePolicy: String, Sendable, Hashable, CaseIterable {
    /// The later row shows its value with a suffix, in the last column of the constraint.
    case suffix
    /// The later row shows NULL.
    case null
    /// The later row is hidden from the table and shown in the journal.
    case park
    /// The later row and the earlier row become one row.
    case merge
}

/// What happens to a row (the child) when a node that did not know the child deleted the row it refers to (the parent).
///
/// On the deleting node, SQLite also deletes or changes the children in that node's file, as the DDL says. These are
/// changes like any other. The policy does not apply to children that the deleting node knew and left unchanged.
package enum ReferencePolicy: String, Sendable, Hashable, CaseIterable {
    /// The child brings the parent back; `ON DELETE CASCADE`, `NO ACTION` and `RESTRICT` have this effect between PCs.
    case revive
    /// The child is deleted too.
    case cascade
    /// The reference becomes NULL; `ON DELETE SET NULL` has this effect between PCs.
    case null
    /// The child stays as it is.
    case keep
}
