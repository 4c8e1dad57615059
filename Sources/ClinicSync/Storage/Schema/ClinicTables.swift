import Foundation
package import GRDB

/// The replicated tables of a database.
package struct ClinicTables: Sendable, Hashable {
    /// The tables in the order of their names.
    package let tables: [TableDefinition]

    private let indexByName: [String: Int]
    private let indexByNumber: [Int: Int]

    /// Makes a set of tables.
    package init(_ tables: [TableDefinition]) {
        self.tables = tables.sorted { $0.name < $1.name }
        self.indexByName = Dictionary(
            self.tables.enumerated().map { ($1.name, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        self.indexByNumber = Dictionary(
            self.tables.enumerated().map { ($1.number, $0) },
            uniquingKeysWith: { first, _ in first }
        )
    }

    /// Those of the clinic, which people and programs see.
    package var clinical: [TableDefinition] { self.tables.filter(\.isClinical) }

    /// The table of that name; `nil` when it is not replicated.
    package subscript(name: String) -> TableDefinition? {
        self.indexByName[name].map { self.tables[$0] }
    }

    /// The table of that number; `nil` when it is not replicated.
    package subscript(number: Int) -> TableDefinition? {
        self.indexByNumber[number].map { self.tables[$0] }
    }

    /// Reads the definitions of the tables that `manifest` names and checks both against each other.
    ///
    /// Tables and columns seen for the first time get their numbers and slots in `clinicsync_table`, so the
    /// first call after a migration writes; call it in a write transaction of a migrated database. Tables
    /// that no entry names are left alone and stay local.
    ///
    /// - Throws: ``SchemaError`` for the first contradiction, in the order of the tables' names.
    package static func read(from db: Database, manifest: Manifest) throws -> ClinicTables {
        let registry = TableRegistry(db: db)
        let tables = try manifest.tables.sorted { $0.key < $1.key }.map { name, rules in
            let ddl = try TableDDL(name: name, in: db)
            let checked = try CheckedTable(ddl: ddl, rules: rules)
            let entry = try registry.entry(for: name, columns: ddl.columns.map(\.name))
            return try checked.definition(number: entry.number, slots: entry.slots)
        }
        return ClinicTables(tables)
    }
}

/// The numbers of tables and the slots of columns, as `clinicsync_table` keeps them.
private struct TableRegistry {
    let db: Database

    /// Returns the number and slots of a table, giving out those that are missing.
    func entry(for table: String, columns: [String]) throws -> (number: Int, slots: [String]) {
        let row = try Row.fetchOne(
            self.db,
            sql: "SELECT id, columns FROM clinicsync_table WHERE name = ?",
            arguments: [table]
        )
        guard let row else {
            try self.db.execute(
                sql: "INSERT INTO clinicsync_table(name, columns) VALUES (?, ?)",
                arguments: [table, try Self.encode(columns)]
            )
            return (Int(self.db.lastInsertedRowID), columns)
        }
        let known = try self.decode(row["columns"], table: table)
        let slots = known + columns.filter { !known.contains($0) }
        if slots.count > known.count {
            try self.db.execute(
                sql: "UPDATE clinicsync_table SET columns = ? WHERE name = ?",
                arguments: [try Self.encode(slots), table]
            )
        }
        return (row["id"], slots)
    }

    private static func encode(_ names: [String]) throws -> String {
        String(decoding: try JSONEncoder().encode(names), as: UTF8.self)
    }

    private func decode(_ text: String, table: String) throws -> [String] {
        let names: [String]
        do {
            names = try JSONDecoder().decode([String].self, from: Data(text.utf8))
        } catch {
            throw SchemaError.damagedRegistry(table: table)
        }
        guard Set(names).count == names.count, !names.isEmpty else {
            throw SchemaError.damagedRegistry(table: table)
        }
        return names
    }
}
