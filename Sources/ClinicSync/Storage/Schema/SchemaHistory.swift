import ClinicSchema

/// The tables and columns that migrations renamed and dropped, read from the migrations' statements.
///
/// Each node applies a migration at its next start. Until then a node sends the old names. A renamed column keeps its
/// slot, and its old name stays valid. The node ignores values for dropped tables and columns without a note.
package struct SchemaHistory: Sendable, Hashable {
    /// The history that the migrations of this program make.
    package static let clinic = SchemaHistory(of: ClinicSchema.migrations.map(\.sql))

    /// By a table's former name, the table's present name; all in small letters.
    private var tables: [String: String] = [:]
    private var droppedTables: Set<String> = []
    /// By the table's present name: the present name of each column, by its former name.
    private var columns: [String: [String: String]] = [:]
    private var droppedColumns: [String: Set<String>] = [:]
    /// By the table's present name: the words of the statements that make it or add to it, in small letters.
    private var words: [String: Set<String>] = [:]
    /// The names of the indexes that migrations made, in small letters.
    private var indexes: Set<String> = []

    /// The history of tables whose definitions never changed.
    package init() {}

    /// Reads `migrations` in their order.
    package init(of migrations: [String]) {
        for sql in migrations {
            let statements = SQLTokens.all(in: sql).split { $0.isSymbol(";") }
            for statement in statements { self.read(Array(statement)) }
        }
    }

    // MARK: - Questions

    /// The former names of a table.
    package func formerNames(ofTable table: String) -> Set<String> {
        let table = table.lowercased()
        return Set(self.tables.filter { $0.value == table }.keys)
    }

    /// The former names of a table's columns, each with the present name; all in small letters.
    package func formerNames(ofColumnsOf table: String) -> [String: String] { self.columns[table.lowercased()] ?? [:] }

    /// The names of the columns that were dropped from the table, in small letters.
    package func dropped(from table: String) -> Set<String> { self.droppedColumns[table.lowercased()] ?? [] }

    /// Whether a table with this name was dropped.
    package func isDropped(table: String) -> Bool { self.droppedTables.contains(table.lowercased()) }

    /// Whether no migration names this column of the table, so that a program must have added it.
    package func isAdded(_ column: String, to table: String) -> Bool {
        self.words[table.lowercased()]?.contains(column.lowercased()) == false
    }

    /// Whether a migration made an index of this name.
    package func hasIndex(_ name: String) -> Bool { self.indexes.contains(name.lowercased()) }

    // MARK: - Reading

    private mutating func read(_ statement: [SQLToken]) {
        // Quotes do not matter: no statement has a quoted name at the place of these keywords.
        let words = statement.map { $0.name?.lowercased() ?? "" }
        if words.starts(with: ["create", "table"]), let name = words.dropFirst(2).first(where: { !Self.isFiller($0) }) {
            self.droppedTables.remove(name)
            self.words[name, default: []].formUnion(words)
        } else if words.starts(with: ["create", "index"]) || words.starts(with: ["create", "unique", "index"]),
            let start = words.firstIndex(of: "index"),
            let name = words.dropFirst(start &+ 1).first(where: { !Self.isFiller($0) })
        {
            self.indexes.insert(name)
        } else if words.starts(with: ["drop", "table"]),
            let name = words.dropFirst(2).first(where: { !Self.isFiller($0) })
        {
            self.droppedTables.insert(name)
        } else if words.starts(with: ["alter", "table"]), words.count > 4 {
            self.words[words[2], default: []].formUnion(words)
            self.alter(words[2], words.dropFirst(3).filter { $0 != "column" })
        }
    }

    private static func isFiller(_ word: String) -> Bool { ["if", "not", "exists"].contains(word) }

    private mutating func alter(_ table: String, _ words: [String]) {
        if words.starts(with: ["rename", "to"]), words.count == 3 {
            self.rename(table: table, to: words[2])
        } else if words.first == "rename", words.count == 4, words[2] == "to" {
            self.rename(column: words[1], of: table, to: words[3])
        } else if words.first == "drop", words.count == 2 {
            self.drop(words[1], from: table)
        }
    }

    private mutating func rename(table: String, to name: String) {
        for (former, present) in self.tables where present == table { self.tables[former] = name }
        self.tables[table] = name
        self.tables[name] = nil
        self.droppedTables.remove(name)
        self.words[name, default: []].formUnion(self.words.removeValue(forKey: table) ?? [])
        // A table that replaces another table takes over that table's history.
        self.columns[name, default: [:]].merge(self.columns.removeValue(forKey: table) ?? [:]) { _, new in new }
        self.droppedColumns[name, default: []].formUnion(self.droppedColumns.removeValue(forKey: table) ?? [])
    }

    private mutating func rename(column: String, of table: String, to name: String) {
        var names = self.columns[table] ?? [:]
        for (former, present) in names where present == column { names[former] = name }
        names[column] = name
        names[name] = nil
        self.columns[table] = names
        self.droppedColumns[table]?.remove(name)
    }

    private mutating func drop(_ column: String, from table: String) {
        let former = self.columns[table]?.filter { $0.value == column }.keys.map(\.self) ?? []
        for name in former { self.columns[table]?[name] = nil }
        self.droppedColumns[table, default: []].formUnion(former + [column])
    }
}
