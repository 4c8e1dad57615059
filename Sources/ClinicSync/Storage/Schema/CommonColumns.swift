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
enum Affinity: Hashable {
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

    /// An expression for the value that a column with this affinity stores for a value of `column`, which has another affinity.
    ///
    /// What a program writes in a file with another type reaches the other PCs as if it were written there. Of texts only those
    /// become numbers that the number gives back.
    func sql(of column: String) -> String {
        let isNumber = "typeof(\(column)) = 'text' AND CAST(CAST(\(column) AS NUMERIC) AS TEXT) = \(column)"
        return switch self {
        case .blob: column
        case .text:
            "CASE WHEN typeof(\(column)) IN ('integer', 'real') THEN CAST(\(column) AS TEXT) ELSE \(column) END"
        case .real:
            """
            CASE WHEN typeof(\(column)) = 'integer' THEN CAST(\(column) AS REAL) \
            WHEN \(isNumber) THEN CAST(\(column) AS REAL) ELSE \(column) END
            """
        case .integer, .numeric:
            """
            CASE WHEN typeof(\(column)) = 'real' AND abs(\(column)) < 9e15 AND \(column) = CAST(\(column) AS INTEGER) \
            THEN CAST(\(column) AS INTEGER) WHEN \(isNumber) THEN CAST(\(column) AS NUMERIC) ELSE \(column) END
            """
        }
    }
}
