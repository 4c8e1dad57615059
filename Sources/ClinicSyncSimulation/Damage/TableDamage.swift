import Foundation
import GRDB

/// What a damaged place holds in place of its content.
package enum DamagedValue: Sendable, Hashable, CustomStringConvertible {
    /// A number.
    case integer(Int64)
    /// A number with a fraction, or infinity.
    case real(Double)
    /// No value.
    case null
    /// So many letters.
    case text(Int)
    /// So many bytes of that value.
    case blob(Int, UInt8)
    /// The content with one bit of it flipped.
    case flippedBit
    /// The first half of the content.
    case half
    /// The row is gone.
    case noRow

    /// Numbers at the limits of the types that a reader may use.
    private static let numbers: [Int64] = [
        0, -1, 1, 1 << 31, 1 << 32 - 1, 1 << 53, 1 << 62, .max - 1, .max, .min, .min + 1,
    ]

    /// All that is tried on every column.
    package static let all: [DamagedValue] =
        DamagedValue.numbers.map { DamagedValue.integer($0) }
        + [DamagedValue.real(1.5e300), .real(.infinity), .null, .text(0), .text(3), .text(5_000)]
        + [DamagedValue.blob(0, 0), .blob(1, 0xFF), .blob(16, 0), .blob(100_000, 0xFF)]
        + [DamagedValue.flippedBit, .flippedBit, .half, .noRow]

    /// A short name.
    package var description: String {
        switch self {
        case .integer(let number): "\(number)"
        case .real(let number): "\(number)"
        case .null: "NULL"
        case .text(let count): "text(\(count))"
        case .blob(let count, let byte): "blob(\(count) of \(byte))"
        case .flippedBit: "flipped bit"
        case .half: "half"
        case .noRow: "no row"
        }
    }

    /// The new content.
    func value(from old: DatabaseValue, choice: UInt64) -> DatabaseValue {
        switch self {
        case .integer(let number): number.databaseValue
        case .real(let number): number.databaseValue
        case .null, .noRow: .null
        case .text(let count): String(repeating: "a", count: count).databaseValue
        case .blob(let count, let byte): Data(repeating: byte, count: count).databaseValue
        case .flippedBit: DamagedValue.flipped(old, choice)
        case .half: DamagedValue.half(of: old)
        }
    }

    private static func flipped(_ old: DatabaseValue, _ choice: UInt64) -> DatabaseValue {
        func flip(_ bytes: Data) -> Data {
            guard !bytes.isEmpty else { return bytes }
            var bytes = bytes
            bytes[Int(choice / 8 % UInt64(bytes.count))] ^= 1 << UInt8(choice % 8)
            return bytes
        }
        switch old.storage {
        case .null: return .null
        case .int64(let number): return (number ^ 1 << Int64(choice % 64)).databaseValue
        case .double(let number): return Double(bitPattern: number.bitPattern ^ 1 << (choice % 64)).databaseValue
        case .string(let text): return String(decoding: flip(Data(text.utf8)), as: UTF8.self).databaseValue
        case .blob(let bytes): return flip(bytes).databaseValue
        }
    }

    private static func half(of old: DatabaseValue) -> DatabaseValue {
        switch old.storage {
        case .null: .null
        case .int64(let number): (number / 2).databaseValue
        case .double(let number): (number / 2).databaseValue
        case .string(let text): String(text.prefix(text.count / 2)).databaseValue
        case .blob(let bytes): bytes.prefix(bytes.count / 2).databaseValue
        }
    }
}

/// Damage to one place of a node's own tables, or to the whole column.
package struct TableDamage: Sendable, Hashable, CustomStringConvertible {
    /// A column of one of the node's own tables.
    struct Column: Sendable, Hashable {
        var table: String
        var name: String
    }

    var column: Column
    var value: DamagedValue
    /// Whether all rows are damaged, not just one.
    var isEverywhere: Bool
    /// Decides which row and which bit.
    var choice: UInt64

    /// `table.column = value`.
    package var description: String {
        "\(self.column.table).\(self.column.name) = \(self.value)\(self.isEverywhere ? " everywhere" : "")"
    }

    /// All columns of the node's own tables that have rows, in the order of their names.
    static func columns(_ db: Database) throws -> [Column] {
        let sql = """
            SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
            WHERE m.type = 'table' AND m.name GLOB 'clinicsync_*' ORDER BY m.name, c.name
            """
        let columns = try Row.fetchAll(db, sql: sql).map { Column(table: $0[0], name: $0[1]) }
        let filled = try Set(columns.map(\.table)).filter { table in
            try Bool.fetchOne(db, sql: "SELECT 1 FROM \(table.quotedDatabaseIdentifier) LIMIT 1") ?? false
        }
        return columns.filter { filled.contains($0.table) }
    }

    /// Damages the file as a bad disk would: no constraint that can be turned off prevents it.
    ///
    /// - Returns: the number of rows that changed.
    func apply(_ db: Database) throws -> Int {
        try db.execute(sql: "PRAGMA ignore_check_constraints = 1")
        defer { try? db.execute(sql: "PRAGMA ignore_check_constraints = 0") }
        let table = self.column.table.quotedDatabaseIdentifier
        let keys = try self.keys(db)
        let list = keys.map(\.quotedDatabaseIdentifier).joined(separator: ", ")
        let count = try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)") ?? 0
        guard count > 0 else { return 0 }
        let rows = try Row.fetchAll(
            db,
            sql: "SELECT \(self.column.name.quotedDatabaseIdentifier), \(list) FROM \(table) LIMIT ? OFFSET ?",
            arguments: self.isEverywhere ? [-1, 0] : [1, Int(self.choice % UInt64(count))]
        )
        var changed = 0
        for row in rows {
            let condition = keys.map { "\($0.quotedDatabaseIdentifier) IS ?" }.joined(separator: " AND ")
            var arguments = StatementArguments(keys.indices.map { row[$0 + 1] as DatabaseValue })
            var sql = "DELETE FROM \(table) WHERE \(condition)"
            if self.value != .noRow {
                sql =
                    "UPDATE OR IGNORE \(table) SET \(self.column.name.quotedDatabaseIdentifier) = ? WHERE \(condition)"
                arguments = [self.value.value(from: row[0], choice: self.choice)] + arguments
            }
            do {
                try db.execute(sql: sql, arguments: arguments)
                changed += db.changesCount
            } catch let error as DatabaseError
                where error.resultCode == .SQLITE_CONSTRAINT || error.resultCode == .SQLITE_MISMATCH
            {
                // A place of that declared type can hold no such value.
                continue
            }
        }
        return changed
    }

    private func keys(_ db: Database) throws -> [String] {
        let names = try db.primaryKey(self.column.table)
        return names.columns.isEmpty ? ["rowid"] : names.columns
    }
}
