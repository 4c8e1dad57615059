import ClinicSyncModel
import Foundation
package import GRDB

/// The replicated tables of a database.
package struct ClinicTables: Sendable, Hashable {
    /// The tables in the order of their names.
    package let tables: [TableDefinition]

    private let indexByName: [String: Int]
    private let indexByNumber: [Int: Int]
    /// Which tables were dropped, and the former names of the others.
    let history: SchemaHistory
    /// The clinic's tables that the file does not have in a form that can be replicated, in the order of their names.
    package let absent: [AbsentTable]

    /// Makes a set of tables.
    package init(
        _ tables: [TableDefinition],
        absent: [AbsentTable] = [],
        history: SchemaHistory = SchemaHistory()
    ) {
        self.history = history
        self.absent = absent
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

    /// The clinic's tables, which people and programs see.
    package var clinical: [TableDefinition] { self.tables.filter(\.isClinical) }

    /// The table with this name; `nil` when it is not replicated.
    package subscript(name: String) -> TableDefinition? {
        self.indexByName[name].map { self.tables[$0] }
    }

    /// The table with this number; `nil` when it is not replicated.
    package subscript(number: Int) -> TableDefinition? {
        self.indexByNumber[number].map { self.tables[$0] }
    }

    /// Reads the definitions of the tables that `manifest` names and checks them against the manifest.
    ///
    /// New tables and columns get their numbers and slots in `clinicsync_table`, so the first call after a migration
    /// writes. Call it in a write transaction of a migrated database. Tables that the manifest does not name stay
    /// local. A table or column that `history` lists as renamed keeps its number or slot.
    ///
    /// - Parameters:
    ///   - db: the database.
    ///   - manifest: the rules.
    ///   - history: what migrations renamed and dropped.
    ///   - isForgiving: whether a table of the clinic that was replicated before and is missing now, or does not fit, is left
    ///     out (``absent``) instead of thrown. A program did that to its file, and the other tables must go on.
    ///   - common: the columns of a table as the migrations have them; called when the file has others than before, or lacks one.
    /// - Returns: The tables.
    /// - Throws: ``SchemaError`` for the first contradiction, in the order of the tables' names.
    package static func read(
        from db: Database,
        manifest: Manifest,
        history: SchemaHistory = SchemaHistory(),
        isForgiving: Bool = false,
        common: ((String) throws -> CommonColumns)? = nil
    ) throws -> ClinicTables {
        let registry = TableRegistry(db: db, history: history, common: common)
        let announced = try AddedColumns.announced(in: db)
        guard manifest.tables.count <= TableDefinition.tablesMax else {
            throw SchemaError.tooManyTables(count: manifest.tables.count)
        }
        var tables: [TableDefinition] = []
        var absent: [AbsentTable] = []
        for (name, rules) in manifest.tables.sorted(by: { $0.key < $1.key }) {
            do {
                let isKnown = try isForgiving && rules.category != .system && registry.number(of: name) != nil
                let ddl = try TableDDL(name: name, in: db)
                let checked = try CheckedTable(ddl: ddl, rules: rules, history: isKnown ? history : nil)
                let others = rules.category == .system ? [:] : announced.tables[name] ?? [:]
                let entry = try registry.entry(for: ddl, announced: others)
                tables.append(
                    try checked.definition(
                        number: entry.number,
                        slots: entry.slots,
                        aside: entry.aside,
                        fresh: entry.fresh,
                        common: entry.common,
                        history: history
                    )
                )
            } catch let error as SchemaError where isForgiving && rules.category != .system {
                if case .damagedRegistry = error { throw error }
                guard let number = try registry.number(of: name) else { throw error }
                absent.append(AbsentTable(number: number, name: name, error: error))
            }
        }
        for table in tables {
            for parent in tables where parent.uniqueKeys.contains(where: { $0.policy == .park }) {
                guard table.foreignKeys.contains(where: { $0.parentTable.lowercased() == parent.name.lowercased() })
                else {
                    continue
                }
                throw SchemaError.parkedParent(table: parent.name, child: table.name)
            }
        }
        return ClinicTables(tables, absent: absent, history: history)
    }
}

/// A table of the clinic that the file does not have, or has in a form that cannot be replicated.
package struct AbsentTable: Sendable, Hashable {
    /// The table's number in this file; it is kept for the table's return.
    package let number: Int
    /// The table's name.
    package let name: String
    /// What is wrong with it.
    package let error: SchemaError
}

/// The numbers of tables and the slots of columns: the table `clinicsync_table`.
private struct TableRegistry {
    let db: Database
    let history: SchemaHistory
    /// The columns of a table as the migrations have them; `nil`: nothing new is noted.
    let common: ((String) throws -> CommonColumns)?

    /// The number of a table; `nil` when it was never replicated in this file.
    func number(of table: String) throws -> Int? {
        try self.row(of: table).flatMap { Int.fromDatabaseValue($0["id"]) }
    }

    /// A table's number and the names of its columns by slot.
    struct Entry {
        var number: Int
        var slots: [String]
        /// The columns that only other nodes' files have.
        var aside: [AsideColumns.Column] = []
        /// The slots of columns that stood aside until now.
        var fresh: Set<Int> = []
        /// The defaults and types of the columns as the clinic has them.
        var common: CommonColumns
    }

    /// Returns the number and the slots of a table; assigns those that are missing.
    ///
    /// - Parameters:
    ///   - ddl: the table.
    ///   - announced: columns that other nodes have, with their defaults; those that the table lacks are taken up.
    /// - Returns: The table's entry.
    /// - Throws: ``SchemaError``, and what SQLite reports.
    func entry(for ddl: TableDDL, announced: [String: SQLiteValue]) throws -> Entry {
        let columns = ddl.columns.map(\.name)
        let isNew = try self.number(of: ddl.name) == nil
        let own = try self.entry(for: ddl.name, columns: columns)
        let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'clinicsync_aside')"
        guard try Bool.fetchOne(self.db, sql: exists) == true else {
            return Entry(number: own.number, slots: own.slots, common: CommonColumns(ddl))
        }
        let known = try self.columns(of: ddl, number: own.number, announced: announced, isNew: isNew)
        let others = AsideColumns(ddl, number: own.number, in: self.db)
        let new = AsideColumns.new(announced, ddl: ddl, recorded: own.slots, history: self.history)
        let all = new.isEmpty ? own : try self.entry(for: ddl.name, columns: columns + new)
        let vanished = try self.vanished(others, of: ddl.name, slots: own.slots)
        try others.add(
            (new + vanished).compactMap { name in
                all.slots.firstIndex(of: name).map {
                    AsideColumns.Column(
                        name: name,
                        slot: $0,
                        defaultValue: announced[name] ?? known.defaults[name] ?? .null
                    )
                }
            }
        )
        let settled = try others.settle(slots: all.slots)
        let aside = settled.aside.map { column in
            var column = column
            column.isVanished = vanished.contains(column.name)
            return column
        }
        return Entry(
            number: all.number,
            slots: all.slots,
            aside: aside,
            fresh: settled.fresh,
            common: known
        )
    }

    /// The columns that a program dropped from a table since the last look.
    ///
    /// A column that a migration dropped, or left out of a table that it made again, is none of them.
    private func vanished(_ columns: AsideColumns, of table: String, slots: [String]) throws -> [String] {
        let missing = try columns.missing(slots: slots, history: self.history)
        guard !missing.isEmpty, let common = try self.common?(table) else { return [] }
        return missing.filter { self.history.isAdded($0, to: table) || common.has($0) }
    }

    /// The columns of a table as the clinic has them; notes them for the time when a program drops or changes them.
    ///
    /// A column that a migration made is as the migration has it. The default of one that programs added is the announced one,
    /// and this file's as long as nobody announces the column.
    private func columns(
        of ddl: TableDDL,
        number: Int,
        announced: [String: SQLiteValue],
        isNew: Bool
    ) throws -> CommonColumns {
        let own = CommonColumns(ddl)
        let exists = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('clinicsync_table') WHERE name = 'types')"
        guard try Bool.fetchOne(self.db, sql: exists) == true else { return own }
        let noted = try self.noted(number)
        let migrated = ddl.columns.map(\.name).filter { !self.history.isAdded($0, to: ddl.name) }
        // In a new file the migrations have just made the table.
        var migrations = own
        if !isNew, migrated.contains(where: { !own.agrees(with: noted, in: $0) }) {
            migrations = try self.common?(ddl.name) ?? (noted == CommonColumns() ? own : noted)
        }
        var columns = noted
        for column in ddl.columns.map(\.name) {
            columns.take(column, from: own)
            if migrated.contains(column) {
                columns.take(column, from: migrations)
            } else if let value = announced[column] {
                columns.defaults[column] = value
            }
        }
        if columns != noted, isNew || self.common != nil { try self.note(columns, number) }
        return columns
    }

    private func noted(_ number: Int) throws -> CommonColumns {
        var columns = CommonColumns()
        let row = try Row.fetchOne(
            self.db.cachedStatement(sql: "SELECT defaults, types FROM clinicsync_table WHERE id = ?"),
            arguments: [number]
        )
        guard let row, let defaults = String.fromDatabaseValue(row["defaults"]).flatMap(AddedColumns.defaults(text:)),
            let types = String.fromDatabaseValue(row["types"])
        else { return columns }
        do {
            columns.types = try JSONDecoder().decode([String: String].self, from: Data(types.utf8))
            columns.defaults = defaults
            return columns
        } catch {
            return CommonColumns()
        }
    }

    private func note(_ columns: CommonColumns, _ number: Int) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        try self.db.execute(
            sql: "UPDATE clinicsync_table SET defaults = ?, types = ? WHERE id = ?",
            arguments: [
                try AddedColumns.text(defaults: columns.defaults),
                String(decoding: try encoder.encode(columns.types), as: UTF8.self), number,
            ]
        )
    }

    /// Returns the number and the slots of a table; assigns those that are missing.
    private func entry(for table: String, columns: [String]) throws -> (number: Int, slots: [String]) {
        guard let row = try self.row(of: table) else {
            try self.db.execute(
                sql: "INSERT INTO clinicsync_table(name, columns) VALUES (?, ?)",
                arguments: [table, try Self.encode(columns)]
            )
            return (Int(self.db.lastInsertedRowID), columns)
        }
        let recorded = try self.decode(row["columns"], table: table)
        guard let number = Int.fromDatabaseValue(row["id"]) else { throw SchemaError.damagedRegistry(table: table) }
        let known = self.renamed(recorded, table: table, columns: columns)
        let slots = known + columns.filter { !known.contains($0) }
        if slots != recorded {
            try self.db.execute(
                sql: "UPDATE clinicsync_table SET columns = ? WHERE name = ?",
                arguments: [try Self.encode(slots), table]
            )
        }
        return (number, slots)
    }

    /// The table's entry; moves an entry under a former name to the present name.
    private func row(of table: String) throws -> Row? {
        let sql = "SELECT id, columns FROM clinicsync_table WHERE name = ?"
        if let row = try Row.fetchOne(self.db.cachedStatement(sql: sql), arguments: [table]) { return row }
        let former = self.history.formerNames(ofTable: table)
        guard !former.isEmpty else { return nil }
        let names = try DatabaseValue.fetchAll(self.db, sql: "SELECT name FROM clinicsync_table ORDER BY id")
        for name in names.compactMap({ String.fromDatabaseValue($0) })
        where former.contains(name.lowercased()) {
            guard try !self.db.tableExists(name) else { continue }
            try self.db.execute(sql: "UPDATE clinicsync_table SET name = ? WHERE name = ?", arguments: [table, name])
            return try Row.fetchOne(self.db, sql: sql, arguments: [table])
        }
        return nil
    }

    /// The recorded column names, with each former name replaced by the present name.
    private func renamed(_ recorded: [String], table: String, columns: [String]) -> [String] {
        let present = self.history.formerNames(ofColumnsOf: table)
        return recorded.map { name in
            guard !columns.contains(name), let wanted = present[name.lowercased()],
                let column = columns.first(where: { $0.lowercased() == wanted }), !recorded.contains(column)
            else { return name }
            return column
        }
    }

    private static func encode(_ names: [String]) throws -> String {
        String(decoding: try JSONEncoder().encode(names), as: UTF8.self)
    }

    private func decode(_ value: DatabaseValue, table: String) throws -> [String] {
        guard let text = String.fromDatabaseValue(value) else { throw SchemaError.damagedRegistry(table: table) }
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
