import ClinicSyncModel

/// The subject of a note that belongs to no row of a known table.
///
/// The stored form is the `pk` of entries with `tableId` 0 in `clinicsync_waiting`.
enum StoreNote: Hashable {
    /// A batch in the log has rows of a table, or values of columns, that this program does not know.
    case batch(BatchID, table: String, columns: [String])
    /// A row that arrived by reconciliation has values of columns that this program does not know.
    case row(table: String, key: SQLiteValue)
    /// A row is too large to be sent.
    case large(table: String, key: SQLiteValue)
    /// A migration waits for other nodes.
    case migration(String)
    /// A table of the clinic is not in the file, or does not fit.
    case missing(table: String)

    private static let rowMark: UInt8 = 1
    private static let largeMark: UInt8 = 2
    private static let migrationMark: UInt8 = 3
    private static let missingMark: UInt8 = 4

    /// The key of the note: text for batches, a blob for the others.
    var key: SQLiteValue {
        var writer = ByteWriter()
        switch self {
        case .batch(let batch, let table, let columns):
            let names = columns.isEmpty ? "" : ":" + columns.joined(separator: ",")
            return .string("\(batch.origin):\(batch.sequence):\(table)\(names)")
        case .row(let table, let key):
            writer.byte(StoreNote.rowMark)
            writer.string(table)
            writer.value(key)
        case .large(let table, let key):
            writer.byte(StoreNote.largeMark)
            writer.string(table)
            writer.value(key)
        case .migration(let name):
            writer.byte(StoreNote.migrationMark)
            writer.string(name)
        case .missing(let table):
            writer.byte(StoreNote.missingMark)
            writer.string(table)
        }
        return .blob(writer.bytes)
    }

    /// Makes the note with this key; `nil` for the note on a batch, whose subject is in its detail.
    init?(key: SQLiteValue) {
        guard case .blob(let bytes) = key else { return nil }
        let note = bytes.withUnsafeBytes { bytes -> StoreNote? in
            var reader = ByteReader(bytes)
            do {
                let mark = try reader.byte()
                let name = try reader.string(limit: 256)
                switch mark {
                case StoreNote.rowMark: return .row(table: name, key: try reader.value().value)
                case StoreNote.largeMark: return .large(table: name, key: try reader.value().value)
                case StoreNote.migrationMark: return .migration(name)
                case StoreNote.missingMark: return .missing(table: name)
                default: return nil
                }
            } catch {
                // Any program may have written this key.
                return nil
            }
        }
        guard let note else { return nil }
        self = note
    }

    /// The table that the note is about, for people.
    var table: String? {
        switch self {
        case .batch(_, let table, _), .row(let table, _), .large(let table, _), .missing(let table): table
        case .migration: nil
        }
    }
}

/// The content of a note on a batch or row, besides its key.
struct UnreadDetail: Hashable {
    /// The batch; `nil` for a row.
    var batch: BatchID?
    /// The name of the table in the batch or page.
    var table: String
    /// The columns that were not known; empty means the whole table.
    var columns: [String]
    /// The batches that the batch's author had seen.
    var seen: VersionVector

    /// The stored form.
    var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.origin(self.batch?.origin ?? .genesis)
        writer.unsigned(self.batch?.sequence ?? 0)
        writer.string(self.table)
        writer.unsigned(UInt64(self.columns.count))
        for column in self.columns { writer.string(column) }
        writer.raw(VectorCoding.encode(self.seen))
        return writer.bytes
    }

    /// Makes a detail.
    init(batch: BatchID?, table: String, columns: [String], seen: VersionVector) {
        self.batch = batch
        self.table = table
        self.columns = columns
        self.seen = seen
    }

    /// Reads the stored form.
    init(_ bytes: UnsafeRawBufferPointer) throws(MalformedRecord) {
        var reader = ByteReader(bytes)
        let origin = try reader.origin()
        let sequence = try reader.sequence()
        self.batch = sequence == 0 ? nil : BatchID(origin: origin, sequence: sequence)
        self.table = try reader.string(limit: 256)
        var columns: [String] = []
        for _ in 0..<(try reader.count(ofAtLeast: 1, limit: 63)) { columns.append(try reader.string(limit: 256)) }
        self.columns = columns
        self.seen = try VectorCoding.decode(try reader.raw(UInt64(reader.remaining)))
    }
}
