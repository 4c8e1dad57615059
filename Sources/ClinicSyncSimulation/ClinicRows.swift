package import GRDB

/// Makes rows of the clinic's tables for cases, as the DDL requires.
package struct ClinicRows: Sendable {
    /// A reference of a table to another.
    package struct Reference: Sendable {
        /// The table that refers.
        package let child: String
        /// Its column.
        package let column: String
        /// The table that is referred to.
        package let parent: String
    }

    private struct Column: Sendable {
        let name: String
        let type: String
        let isNeeded: Bool
    }

    /// The thirteen tables, in the order of their names.
    package let tables: [String]
    /// Every reference that the DDL declares.
    package let references: [Reference]
    private let columns: [String: [Column]]
    private let keys: [String: String]
    private let unique: [String: String]

    /// Reads the tables of a node's file.
    ///
    /// - Throws: what SQLite reports.
    package init(_ db: Database) throws {
        let tables = try String.fetchAll(
            db,
            sql: "SELECT name FROM clinicsync_table WHERE name NOT LIKE 'clinicsync%' ORDER BY name"
        )
        var references: [Reference] = []
        var columns: [String: [Column]] = [:]
        var keys: [String: String] = [:]
        var unique: [String: String] = [:]
        for table in tables {
            let key = try db.primaryKey(table).columns.first ?? ""
            keys[table] = key
            columns[table] = try db.columns(in: table).map {
                Column(name: $0.name, type: $0.type, isNeeded: $0.isNotNull && $0.defaultValueSQL == nil)
            }
            unique[table] = try db.indexes(on: table).first { $0.isUnique && $0.columns != [key] }?.columns.first
            for foreign in try db.foreignKeys(on: table) {
                guard let column = foreign.originColumns.first else { continue }
                references.append(Reference(child: table, column: column, parent: foreign.destinationTable))
            }
        }
        references.sort { ($0.child, $0.column) < ($1.child, $1.column) }
        (self.tables, self.references, self.columns, self.keys, self.unique) = (
            tables, references, columns, keys, unique
        )
    }

    /// The name of the table's key.
    package func key(_ table: String) -> String { self.keys[table] ?? "" }

    /// The table's UNIQUE column.
    package func uniqueColumn(_ table: String) -> String? { self.unique[table] }

    /// Two columns without a rule of their own; of type TEXT, if the table has two such columns.
    package func plainColumns(_ table: String) -> [String] {
        let ruled = Set(self.references.filter { $0.child == table }.map(\.column))
        let plain = (self.columns[table] ?? []).filter {
            !ruled.contains($0.name) && $0.name != self.keys[table] && $0.name != self.unique[table]
        }
        let sorted = plain.filter { $0.type == "TEXT" } + plain.filter { $0.type != "TEXT" }
        return Array(sorted.map(\.name).prefix(2))
    }

    /// The values that a row needs, as SQL.
    ///
    /// References name the rows that ``shared`` makes.
    package func values(_ table: String, key: String, _ special: [String: String] = [:]) -> [(
        column: String, sql: String
    )] {
        var values: [(column: String, sql: String)] = []
        for column in self.columns[table] ?? [] {
            let parent = self.references.first { $0.child == table && $0.column == column.name }?.parent
            if column.name == self.keys[table] {
                values.append((column.name, "'\(key)'"))
            } else if let sql = special[column.name] {
                values.append((column.name, sql))
            } else if column.name == self.unique[table] {
                values.append((column.name, "'\(column.name) of \(key)'"))
            } else if let parent, column.isNeeded {
                values.append((column.name, "'shared \(parent)'"))
            } else if column.isNeeded || self.plainColumns(table).contains(column.name) {
                values.append((column.name, column.type == "TEXT" ? "'\(column.name)'" : "1"))
            }
        }
        return values
    }

    /// A statement that writes a row.
    ///
    /// - Parameters:
    ///   - table: the table.
    ///   - key: the row's key.
    ///   - special: columns that get another value, as SQL.
    ///   - verb: how the statement begins.
    ///   - upsert: whether a row that is there is updated.
    /// - Returns: the statement.
    package func insert(
        _ table: String,
        key: String,
        _ special: [String: String] = [:],
        verb: String = "INSERT",
        upsert: Bool = false
    ) -> String {
        let values = self.values(table, key: key, special)
        let columns = values.map { "\"\($0.column)\"" }.joined(separator: ", ")
        var sql = "\(verb) INTO \(table)(\(columns)) VALUES (\(values.map(\.sql).joined(separator: ", ")))"
        if upsert {
            let updates = values.dropFirst().map { "\"\($0.column)\" = excluded.\"\($0.column)\"" }
            sql += " ON CONFLICT (\"\(self.key(table))\") DO UPDATE SET \(updates.joined(separator: ", "))"
        }
        return sql + ";"
    }

    /// Rows to which others refer, and which no case deletes.
    package var shared: String {
        let parents = Set(self.references.map(\.parent))
        return self.tables.filter(parents.contains).map { self.insert($0, key: "shared \($0)") }.joined(separator: "\n")
    }
}
