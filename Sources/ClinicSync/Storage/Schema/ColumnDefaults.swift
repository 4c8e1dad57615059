import ClinicSyncModel
import GRDB

/// What columns hold that no program wrote: their DEFAULT, where it is the same value on every PC.
///
/// Two things depend on it: a column that holds its default changes no hash, and an insertion by a node whose schema lacks
/// the column gives it the default. Both make a column that is added later cost nothing.
enum ColumnDefaults {
    /// The values of constant defaults by column; those that are NULL, or computed for each row, are left out.
    ///
    /// SQLite itself finds the values, in a database of its own, because the column's affinity changes them: `DEFAULT 0` of a
    /// REAL column is 0.0.
    static func constants(of columns: [TableDDL.Column]) throws -> [String: SQLiteValue] {
        let constant = columns.filter { $0.defaultText.map(Self.isConstant) ?? false }
        guard !constant.isEmpty else { return [:] }
        let scratch = try DatabaseQueue()
        defer { _ = Result { try scratch.close() } }
        return try scratch.writeWithoutTransaction { db in
            var values: [String: SQLiteValue] = [:]
            for column in constant {
                guard let value = try Self.value(of: column, in: db), value != .null else { continue }
                values[column.name] = value
            }
            return values
        }
    }

    /// Whether a DEFAULT's text, as SQLite gives it without parentheses, is one literal.
    ///
    /// Anything that is computed counts as different for each row, even where it is not: that costs only bytes.
    private static func isConstant(_ text: String) -> Bool {
        var tokens = SQLTokens.all(in: text)
        if tokens.count == 2, let sign = tokens.first, sign.isSymbol("-") || sign.isSymbol("+") { tokens.removeFirst() }
        guard tokens.count == 1, let token = tokens.first else { return false }
        switch token {
        case .literal: return true
        case .name(let name, let isQuoted):
            let clocks: Set = ["current_time", "current_date", "current_timestamp"]
            return isQuoted || !clocks.contains(name.lowercased())
        case .symbol: return false
        }
    }

    private static func value(of column: TableDDL.Column, in db: Database) throws -> SQLiteValue? {
        guard let text = column.defaultText else { return nil }
        try db.execute(sql: "CREATE TABLE d (c \(column.declaredType) DEFAULT \(text)); INSERT INTO d DEFAULT VALUES")
        defer { _ = Result { try db.execute(sql: "DROP TABLE d") } }
        let value = try DatabaseValue.fetchOne(db, sql: "SELECT c FROM d") ?? .null
        return switch value.storage {
        case .null: .null
        case .int64(let number): .integer(number)
        case .double(let number): .double(number)
        case .string(let text): .string(text)
        case .blob(let data): .blob(Array(data))
        }
    }
}
