/// Why the tables, the manifest and this program do not fit together.
///
/// Every message is one sentence that names the table and the column and says what to do.
package enum SchemaError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The database has a migration that this program does not know.
    case newerDatabase(migration: String)
    /// The migration failed and was rolled back completely.
    case migrationFailed(migration: String, reason: String)
    /// The manifest is not JSON, or does not have the form that `docs/SCHEMA.md` describes.
    case unreadableManifest(reason: String)
    /// The manifest has a key that the program does not know.
    case unknownManifestKey(key: String, place: String)
    /// The manifest has a word at a place where only the words in `allowed` are valid.
    case unknownManifestWord(word: String, place: String, allowed: [String])
    /// The manifest names a table of SQLite, or names a table of the node as a table of the clinic.
    case reservedTable(String)
    /// The manifest names a table that the database does not have.
    case missingTable(String)
    /// The manifest names a column that its table does not have.
    case missingColumn(table: String, column: String, rule: String)
    /// The primary key is not a single `TEXT NOT NULL` column that SQLite compares byte by byte.
    case unusableKey(table: String, column: String?, reason: String)
    /// The table has had more columns, dropped columns included, than fit a row's column set.
    case tooManyColumns(table: String, count: Int)
    /// More tables are replicated than fit into a message between nodes.
    case tooManyTables(count: Int)
    /// The name of the table, or of the column, is longer than other nodes take.
    case longName(table: String, column: String?)
    /// A rule, a key or a UNIQUE uses a generated column, and generated columns are not replicated.
    case generatedColumn(table: String, column: String)
    /// A counter is not `INTEGER NOT NULL`, or its DEFAULT is not 0.
    case unusableCounter(table: String, column: String)
    /// A counter is in a CHECK with other columns: each PC's edit can pass the CHECK while the sum of the edits breaks
    /// it.
    case counterInCheck(table: String, column: String)
    /// A column whose lost values need no entry is the key, a counter, in a UNIQUE, or a reference.
    case unusableDerived(table: String, column: String)
    /// A unique index is over an expression: the columns do not show which row owns a key.
    case uniqueExpression(table: String, index: String)
    /// The manifest has no duplicate policy for a UNIQUE.
    case uniqueWithoutPolicy(table: String, columns: String)
    /// The manifest has a duplicate policy for columns that are not UNIQUE.
    case policyWithoutUnique(table: String, columns: String)
    /// The manifest has the policy `null` for a column that is NOT NULL.
    case policyNeedsNull(table: String, column: String, rule: String)
    /// Two UNIQUEs of one table have the policy `merge`.
    case severalMerges(table: String)
    /// A table that other tables refer to has the policy `park`: the other tables' rows would refer to a hidden row.
    case parkedParent(table: String, child: String)
    /// The manifest has a reference policy for a column that refers to no table.
    case policyWithoutReference(table: String, column: String)
    /// The node's own record of a table in `clinicsync_table` is damaged.
    case damagedRegistry(table: String)

    /// The message for people.
    package var message: String {
        switch self {
        case .newerDatabase(let migration):
            "The database has the migration \(migration), which this version of clinic-node does not know; "
                + "install the newer version that made it."
        case .migrationFailed(let migration, let reason):
            "The migration \(migration) failed and changed nothing (\(reason)); correct the cause and start again."
        case .unreadableManifest(let reason):
            "The manifest clinic.json cannot be read (\(reason)); correct it as docs/SCHEMA.md describes."
        case .unknownManifestKey(let key, let place):
            "The manifest has the unknown key \"\(key)\" in \(place); remove it or correct its spelling."
        case .unknownManifestWord(let word, let place, let allowed):
            "The manifest says \"\(word)\" in \(place); write one of \(allowed.joined(separator: ", "))."
        case .severalMerges(let table):
            "The table \(table) has the duplicates policy merge for more than one UNIQUE; use another policy for all but one."
        case .parkedParent(let table, let child):
            "The table \(table) has the duplicates policy park, and \(child) refers to it; use suffix, null or merge."
        case .reservedTable(let table):
            "The manifest names the table \(table), whose name is reserved; rename the table."
        case .missingTable(let table):
            "The manifest names the table \(table), which the database does not have; "
                + "add a migration that creates it or remove the entry."
        case .missingColumn(let table, let column, let rule):
            "The manifest names \(table).\(column) under \"\(rule)\", but the table has no such column; "
                + "correct the name or add the column in a migration."
        default: self.contradiction
        }
    }

    /// The same as `message`.
    package var description: String { self.message }

    private var contradiction: String {
        switch self {
        case .unusableKey(let table, let column, let reason):
            "The primary key of \(table)\(column.map { " (\($0))" } ?? "") \(reason); "
                + "declare exactly one column TEXT PRIMARY KEY NOT NULL with collation BINARY."
        case .tooManyColumns(let table, let count):
            "The table \(table) has had \(count) columns, and at most \(TableDefinition.columnsMax) can be replicated; "
                + "move some to another table."
        case .tooManyTables(let count):
            "The manifest names so many tables that \(count) are replicated, of at most \(TableDefinition.tablesMax); remove some."
        case .longName(let table, let column):
            "The name of \(column.map { "column \($0) of table" } ?? "table") \(table) has more than "
                + "\(TableDefinition.nameBytesMax) bytes; give it a shorter name."
        case .generatedColumn(let table, let column):
            "The column \(table).\(column) is generated and so not replicated; "
                + "take it out of keys, UNIQUE constraints and the manifest."
        case .unusableCounter(let table, let column):
            "The counter \(table).\(column) is not INTEGER NOT NULL DEFAULT 0; "
                + "declare it so or remove it from \"counters\" in the manifest."
        case .counterInCheck(let table, let column):
            "The counter \(table).\(column) is in a CHECK with other columns, which increments of several PCs can break; "
                + "take it out of the CHECK or of \"counters\" in the manifest."
        case .unusableDerived(let table, let column):
            "The column \(table).\(column) is the key, a counter, in a UNIQUE or a reference, and its conflicts matter; "
                + "remove it from \"derived\" in the manifest."
        case .uniqueExpression(let table, let index):
            "The unique index \(index) on \(table) is over an expression; make it unique over plain columns."
        case .uniqueWithoutPolicy(let table, let columns):
            "The table \(table) has UNIQUE (\(columns)) without a policy; "
                + "say in the manifest under \"duplicates\" what becomes of two equal values."
        case .policyWithoutUnique(let table, let columns):
            "The manifest has a duplicate policy for \(table) (\(columns)), which is not UNIQUE; "
                + "remove the policy or add the constraint in a migration."
        case .policyNeedsNull(let table, let column, let rule):
            "The manifest says \"null\" for \(table).\(column) under \"\(rule)\", but the column is NOT NULL; "
                + "choose another policy."
        case .policyWithoutReference(let table, let column):
            "The manifest has a reference policy for \(table).\(column), which refers to no table; remove it."
        case .damagedRegistry(let table):
            "The node's record of the columns of \(table) in clinicsync_table is damaged; restore a backup."
        default: self.message
        }
    }
}
