import ClinicSyncModel
import GRDB
import Synchronization

/// The values of columns that no program wrote: the DEFAULT, where it is the same value on every PC.
///
/// Two rules depend on these values. A column that holds its default changes no hash. An insertion by a node whose
/// schema lacks the column gives the column its default. With both rules, adding a column later costs nothing.
enum ColumnDefaults {
    /// The values of constant defaults by column, without defaults that are NULL or computed for each row.
    ///
    /// SQLite computes the values in a temporary database, because the column's affinity can change them: `DEFAULT 0`
    /// of a REAL column is 0.0. A value depends on the type and the text alone, so each pair is computed once.
    static func constants(of columns: [TableDDL.Column]) throws -> [String: SQLiteValue] {
        var values: [String: SQLiteValue] = [:]
        for column in columns {
            guard let text = column.defaultText, Self.isConstant(text) else { continue }
            let value = try Self.value(of: Literal(declaredType: column.declaredType, text: text))
            if value != .null { values[column.name] = value }
        }
        return values
    }

    private struct Literal: Hashable {
        let declaredType: String
        let text: String
    }

    /// The values that were computed, at most ``knownMax``.
    private static let known = Mutex<[Literal: SQLiteValue]>([:])

    private static let knownMax = 1_000

    /// Whether the text of a DEFAULT, as SQLite returns it without parentheses, is a single literal.
    ///
    /// A computed DEFAULT counts as different for each row, even when it is constant: this costs only bytes.
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

    private static func value(of literal: Literal) throws -> SQLiteValue {
        if let value = self.known.withLock({ $0[literal] }) { return value }
        let scratch = try DatabaseQueue()
        defer { _ = Result { try scratch.close() } }
        let value = try scratch.writeWithoutTransaction { db in
            try db.execute(
                sql: "CREATE TABLE d (c \(literal.declaredType) DEFAULT \(literal.text)); INSERT INTO d DEFAULT VALUES"
            )
            return SQLiteValue(try DatabaseValue.fetchOne(db, sql: "SELECT c FROM d") ?? .null)
        }
        self.known.withLock { known in
            if known.count >= self.knownMax { known.removeAll() }
            known[literal] = value
        }
        return value
    }
}

extension SQLiteValue {
    /// Makes a value of one that GRDB read.
    init(_ value: DatabaseValue) {
        self =
            switch value.storage {
            case .null: .null
            case .int64(let number): .integer(number)
            case .double(let number): .double(number)
            case .string(let text): .string(text)
            case .blob(let data): .blob(Array(data))
            }
    }
}
