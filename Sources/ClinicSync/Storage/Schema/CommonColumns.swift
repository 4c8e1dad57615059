import ClinicSyncModel

/// The defaults and types of a table's columns as the clinic has them, whatever a program made of the table in one PC's file.
package struct CommonColumns: Hashable {
    /// The default of each column; NULL where there is none.
    var defaults: [String: SQLiteValue] = [:]
    /// The declared type of each column.
    var types: [String: String] = [:]

    /// No columns.
    init() {}

    /// The columns of a table as a database has it.
    init(_ ddl: TableDDL) {
        for column in ddl.columns {
            self.defaults[column.name] = ddl.defaults[column.name] ?? .null
            self.types[column.name] = column.declaredType
        }
    }

    /// Whether the columns have a column of this name.
    func has(_ column: String) -> Bool { self.types[column] != nil }

    /// Whether a column is the same as in `other`.
    func agrees(with other: CommonColumns, in column: String) -> Bool {
        self.defaults[column] == other.defaults[column] && self.types[column] == other.types[column]
    }

    /// Takes over a column of `other`; leaves it as it is when `other` does not have it.
    mutating func take(_ column: String, from other: CommonColumns) {
        guard let type = other.types[column] else { return }
        self.types[column] = type
        self.defaults[column] = other.defaults[column] ?? .null
    }
}

/// How SQLite converts what is written into a column, by the rules for declared types of tables that are not STRICT.
enum Affinity {
    case text, numeric, integer, real, blob

    /// The affinity of a declared type.
    init(declaredType: String) {
        let type = declaredType.uppercased()
        if type.contains("INT") {
            self = .integer
        } else if ["CHAR", "CLOB", "TEXT"].contains(where: type.contains) {
            self = .text
        } else if type.isEmpty || type.contains("BLOB") {
            self = .blob
        } else if ["REAL", "FLOA", "DOUB"].contains(where: type.contains) {
            self = .real
        } else {
            self = .numeric
        }
    }
}
