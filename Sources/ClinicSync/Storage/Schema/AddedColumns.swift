import ClinicSyncModel
import Foundation
import GRDB

/// The columns that programs added to the clinic's tables in one node's file: the node announces them in its row of
/// `clinicsync_node`.
///
/// `docs/design/0018-added-columns.md` says what other nodes do with it.
struct AddedColumns: Hashable {
    /// The defaults of the columns, by table and column.
    var tables: [String: [String: SQLiteValue]] = [:]

    /// No columns.
    init() {}

    /// The columns of `tables` that no migration names.
    init(of tables: ClinicTables) {
        for table in tables.clinical {
            for column in table.presentColumns where tables.history.isAdded(column.name, to: table.name) {
                self.tables[table.name, default: [:]][column.name] = column.defaultValue
            }
        }
    }

    /// The columns of the clinic's tables that the file lacks because a program dropped them, and the tables that it lacks: an
    /// empty list stands for the whole table.
    static func lacking(in tables: ClinicTables) -> [String: [String]] {
        var lacking: [String: [String]] = [:]
        for table in tables.clinical {
            let columns = table.columns.filter { $0.isAside && !tables.history.isAdded($0.name, to: table.name) }
            if !columns.isEmpty { lacking[table.name] = columns.map(\.name).sorted() }
        }
        for table in tables.absent { lacking[table.name] = [] }
        return lacking
    }

    /// The text for ``lacking(in:)``; `nil` when nothing is lacking, or too much to be sent.
    static func text(lacking: [String: [String]]) throws -> String? {
        guard !lacking.isEmpty else { return nil }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let data = try encoder.encode(lacking)
        return data.count <= AddedColumns.bytesMax ? String(decoding: data, as: UTF8.self) : nil
    }

    /// Reads what ``text(lacking:)`` makes; what makes no sense counts as nothing, because any program can write it.
    static func lacking(text: String) -> [String: [String]] {
        do { return try JSONDecoder().decode([String: [String]].self, from: Data(text.utf8)) } catch { return [:] }
    }

    /// Defaults as JSON.
    static func text(defaults: [String: SQLiteValue]) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return String(decoding: try encoder.encode(defaults.mapValues(Default.init)), as: UTF8.self)
    }

    /// Reads what ``text(defaults:)`` makes; `nil` when it makes no sense.
    static func defaults(text: String) -> [String: SQLiteValue]? {
        do {
            return try JSONDecoder().decode([String: Default].self, from: Data(text.utf8)).mapValues(\.value)
        } catch {
            return nil
        }
    }

    /// Reads an announcement; what makes no sense is left out, because any program can write it.
    init(text: String) {
        do {
            let decoded = try JSONDecoder().decode([String: [String: Default]].self, from: Data(text.utf8))
            self.tables = decoded.mapValues { $0.mapValues(\.value) }
        } catch {
            self.tables = [:]
        }
    }

    /// The announcement; `nil` when there is nothing to announce, or too much to be sent.
    func text() throws -> String? {
        guard !self.tables.isEmpty else { return nil }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let data = try encoder.encode(self.tables.mapValues { $0.mapValues(Default.init) })
        return data.count <= AddedColumns.bytesMax ? String(decoding: data, as: UTF8.self) : nil
    }

    /// The largest announcement, in bytes: other nodes take no larger value of this table.
    private static let bytesMax = 16 << 10

    /// What all nodes announce; of two defaults of one column that of the node with the smaller id counts.
    static func announced(in db: Database) throws -> AddedColumns {
        var all = AddedColumns()
        let exists = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('clinicsync_node') WHERE name = 'columns')"
        guard try Bool.fetchOne(db, sql: exists) == true else { return all }
        let texts = try String.fetchAll(
            db,
            sql: "SELECT columns FROM clinicsync_node WHERE typeof(columns) = 'text' ORDER BY id"
        )
        for text in texts { all.add(AddedColumns(text: text)) }
        return all
    }

    /// Adds the columns of another node; the defaults that are there already stay.
    mutating func add(_ other: AddedColumns) {
        for (table, columns) in other.tables {
            self.tables[table, default: [:]].merge(columns) { first, _ in first }
        }
    }

    /// The JSON form of a default: an object with the storage class and the value, empty for NULL.
    private struct Default: Codable {
        let value: SQLiteValue

        private enum Key: CodingKey { case integer, real, text, blob }

        init(_ value: SQLiteValue) { self.value = value }

        init(from decoder: any Decoder) throws {
            let fields = try decoder.container(keyedBy: Key.self)
            if let number = try fields.decodeIfPresent(Int64.self, forKey: .integer) {
                self.value = .integer(number)
            } else if let bits = try fields.decodeIfPresent(UInt64.self, forKey: .real) {
                self.value = .real(bits)
            } else if let text = try fields.decodeIfPresent(String.self, forKey: .text) {
                self.value = .string(text)
            } else if let bytes = try fields.decodeIfPresent([UInt8].self, forKey: .blob) {
                self.value = .blob(bytes)
            } else {
                self.value = .null
            }
        }

        func encode(to encoder: any Encoder) throws {
            var fields = encoder.container(keyedBy: Key.self)
            switch self.value {
            case .null: break
            case .integer(let number): try fields.encode(number, forKey: .integer)
            case .real(let bits): try fields.encode(bits, forKey: .real)
            case .text(let bytes): try fields.encode(String(decoding: bytes, as: UTF8.self), forKey: .text)
            case .blob(let bytes): try fields.encode(bytes, forKey: .blob)
            }
        }
    }
}
