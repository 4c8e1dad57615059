import ClinicSyncModel
import GRDB

/// The definition of a table as the database has it.
struct TableDDL {
    let name: String
    let columns: [Column]
    let generatedColumns: Set<String>
    let key: [KeyPart]
    let uniqueIndexes: [UniqueIndex]
    let references: [Reference]
    /// The constant defaults by column; see ``ColumnDefaults``.
    let defaults: [String: SQLiteValue]
    /// The columns that CHECKs name.
    let checks: CheckUnits

    struct Column {
        let name: String
        let declaredType: String
        let isNotNull: Bool
        /// The text of the DEFAULT as SQLite returns it, without parentheses.
        let defaultText: String?
    }

    struct KeyPart {
        let column: String
        let collation: String
    }

    struct UniqueIndex {
        let name: String
        /// Whether a `CREATE INDEX` made it, not the table's own definition.
        let isCreated: Bool
        /// `nil` stands for an expression.
        let columns: [String?]
        let collations: [String]
        let predicate: String?
    }

    struct Reference {
        var columns: [String]
        let parentTable: String
        var parentColumns: [String]
        let onDelete: String
    }

    /// Reads the table's definition.
    ///
    /// - Throws: ``SchemaError/missingTable(_:)``, also for views and virtual tables: these cannot have triggers.
    init(name: String, in db: Database) throws {
        guard !name.lowercased().hasPrefix("sqlite_") else { throw SchemaError.reservedTable(name) }
        // Cached statements: the tables are read one after the other, and to prepare a statement takes longer than to run it.
        let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ? AND sql NOT LIKE 'CREATE VIRTUAL%'"
        let text = try String.fetchOne(db.cachedStatement(sql: sql), arguments: [name])
        guard let text else { throw SchemaError.missingTable(name) }
        self.name = name
        let rows = try Row.fetchAll(db.cachedStatement(sql: Self.columnsSQL), arguments: [name])
        // hidden: 0 for an ordinary column, 2 and 3 for a generated column.
        self.generatedColumns = Set(rows.filter { $0["hidden"] != 0 }.map { $0["name"] })
        self.columns = rows.filter { $0["hidden"] == 0 }.map {
            Column(
                name: $0["name"],
                declaredType: $0["type"] ?? "",
                isNotNull: $0["notnull"],
                defaultText: $0["dflt_value"]
            )
        }
        self.checks = CheckUnits(createTable: text, columns: self.columns.map(\.name), generated: self.generatedColumns)
        self.defaults = try ColumnDefaults.constants(of: self.columns)
        let indexes = try Self.uniqueIndexes(of: name, in: db)
        let keyColumns = rows.filter { $0["pk"] > 0 }.sorted { $0["pk"] < ($1["pk"] as Int) }
        self.key = keyColumns.map { row in
            let column: String = row["name"]
            let collation = indexes.key.first { $0.column == column }?.collation
            return KeyPart(column: column, collation: collation ?? "BINARY")
        }
        self.uniqueIndexes = indexes.others
        self.references = try Self.references(of: name, in: db)
    }

    private static let columnsSQL = """
        SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)
        """

    private static func uniqueIndexes(
        of table: String,
        in db: Database
    ) throws -> (key: [KeyPart], others: [UniqueIndex]) {
        var key: [KeyPart] = []
        var others: [UniqueIndex] = []
        let indexes = try Row.fetchAll(
            db.cachedStatement(
                sql: #"SELECT name, origin, partial FROM pragma_index_list(?) WHERE "unique" ORDER BY name"#
            ),
            arguments: [table]
        )
        for index in indexes {
            let indexName: String = index["name"]
            let parts = try Row.fetchAll(
                db.cachedStatement(sql: "SELECT name, coll FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno"),
                arguments: [indexName]
            )
            if index["origin"] == "pk" {
                key = parts.map { KeyPart(column: $0["name"], collation: $0["coll"]) }
                continue
            }
            let predicate = index["partial"] ? try Self.predicate(of: indexName, in: db) : nil
            others.append(
                UniqueIndex(
                    name: indexName,
                    isCreated: index["origin"] == "c",
                    columns: parts.map { $0["name"] },
                    collations: parts.map { $0["coll"] ?? "BINARY" },
                    predicate: predicate
                )
            )
        }
        return (key, others)
    }

    private static func predicate(of index: String, in db: Database) throws -> String? {
        let sql = try String.fetchOne(
            db,
            sql: "SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?",
            arguments: [index]
        )
        return sql.flatMap(PartialIndex.predicate(of:))
    }

    private static func references(of table: String, in db: Database) throws -> [Reference] {
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: #"SELECT id, "table", "from", "to", on_delete FROM pragma_foreign_key_list(?) ORDER BY id, seq"#
            ),
            arguments: [table]
        )
        var references: [Int: Reference] = [:]
        for row in rows {
            let parent: String = row["table"]
            let empty = Reference(columns: [], parentTable: parent, parentColumns: [], onDelete: row["on_delete"])
            var reference = references[row["id"]] ?? empty
            reference.columns.append(row["from"])
            if let column: String = row["to"] { reference.parentColumns.append(column) }
            references[row["id"]] = reference
        }
        return references.values.sorted { $0.columns.lexicographicallyPrecedes($1.columns) }
    }
}

/// The text of `CREATE INDEX` statements.
enum PartialIndex {
    /// Returns the expression after the statement's WHERE; `nil` when the statement has no WHERE.
    ///
    /// The statement has at most one WHERE outside parentheses, quotes and comments.
    static func predicate(of sql: String) -> String? {
        let bytes = Array(sql.utf8)
        var index = 0
        var depth = 0
        while index < bytes.count {
            let byte = bytes[index]
            if let end = Self.endOfQuotedOrComment(bytes, from: index) {
                index = end
                continue
            }
            if byte == UInt8(ascii: "(") { depth += 1 }
            if byte == UInt8(ascii: ")") { depth -= 1 }
            if depth == 0, Self.isWordStart(bytes, at: index) {
                let end = bytes[index...].firstIndex { !Self.isWord($0) } ?? bytes.count
                if String(decoding: bytes[index..<end], as: UTF8.self).lowercased() == "where" {
                    let text = String(decoding: bytes[end...], as: UTF8.self)
                    return String(text.drop(while: \.isWhitespace))
                }
                index = end
                continue
            }
            index += 1
        }
        return nil
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"), 0x80...:
            true
        default: false
        }
    }

    private static func isWordStart(_ bytes: [UInt8], at index: Int) -> Bool {
        Self.isWord(bytes[index]) && (index == 0 || !Self.isWord(bytes[index - 1]))
    }

    /// The end of the quoted name, literal or comment that starts at `index`; `nil` when none starts there.
    private static func endOfQuotedOrComment(_ bytes: [UInt8], from index: Int) -> Int? {
        func end(after terminator: String, from start: Int) -> Int {
            let terminator = Array(terminator.utf8)
            var place = start
            while place + terminator.count <= bytes.count {
                if bytes[place..<place + terminator.count].elementsEqual(terminator) { return place + terminator.count }
                place += 1
            }
            return bytes.count
        }
        // A doubled quote inside a quoted text counts as an end and a new start here; the result is the same.
        switch bytes[index] {
        case UInt8(ascii: "'"): return end(after: "'", from: index + 1)
        case UInt8(ascii: "\""): return end(after: "\"", from: index + 1)
        case UInt8(ascii: "`"): return end(after: "`", from: index + 1)
        case UInt8(ascii: "["): return end(after: "]", from: index + 1)
        case UInt8(ascii: "-") where bytes[index...].starts(with: Array("--".utf8)):
            return end(after: "\n", from: index + 2)
        case UInt8(ascii: "/") where bytes[index...].starts(with: Array("/*".utf8)):
            return end(after: "*/", from: index + 2)
        default: return nil
        }
    }
}
