import ClinicSyncModel

/// A second record of which author has which small number in the file: the setting `authors`.
///
/// Other tables name authors by the numbers of `clinicsync_origin`. If a number or a name in that table changes, everything
/// that an author wrote would count as another author's. So the file holds the names twice, and this copy has a checksum.
enum AuthorNames {
    /// The authors by their numbers; empty when the file has no copy, or the copy is damaged.
    static func read(on connection: Connection) throws -> [Origin] {
        do {
            return try Settings.read(.authors, on: connection) { try AuthorNames.decode($0.blob(0)) } ?? []
        } catch is MalformedRecord {
            return []
        }
    }

    /// Writes the copy.
    static func write(_ names: [Origin], in transaction: borrowing WriteTransaction) throws {
        var writer = ByteWriter()
        for name in names { writer.origin(name) }
        let hash = writer.bytes.withUnsafeBytes { SipHash.hash64($0) }
        writer.fixed64(hash)
        try Settings.set(.authors, to: .blob(writer.bytes), in: transaction)
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer) throws(MalformedRecord) -> [Origin] {
        var reader = ByteReader(bytes)
        guard bytes.count >= 8 else { throw MalformedRecord(reason: "the authors' names end early") }
        let content = try reader.raw(UInt64(clamping: bytes.count - 8))
        guard try reader.fixed64() == SipHash.hash64(content) else {
            throw MalformedRecord(reason: "the checksum of the authors' names is wrong")
        }
        var names: [Origin] = []
        var rest = ByteReader(content)
        while !rest.isAtEnd { names.append(try rest.origin()) }
        return names
    }

    // MARK: - Repair

    /// An entry of `clinicsync_origin` beside its name.
    private struct Entry {
        var id: Int64
        /// `nil` when the name cannot be read.
        var name: Origin?
        var sequence: SQLiteValue
        var seen: SQLiteValue
        var timestamp: SQLiteValue
        var floor: SQLiteValue
    }

    /// Gives every author that the copy names its number and its name back.
    ///
    /// Call it before anything is read from `clinicsync_origin`.
    ///
    /// - Returns: The number of entries that were wrong or missing.
    /// - Throws: what SQLite reports.
    static func restore(in transaction: borrowing WriteTransaction) throws -> Int {
        let names = try self.read(on: transaction.connection)
        let entries = try self.entries(on: transaction.connection)
        let byID = Dictionary(entries.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let wrong = names.indices.filter { byID[Int64($0)]?.name != names[$0] }
        guard !wrong.isEmpty else { return 0 }
        let known = Set(names)
        var restored: [Entry] = []
        for id in wrong {
            // An entry with the name and another number, or with the number and a name that nobody has.
            let moved = entries.first { $0.name == names[id] }
            let renamed = byID[Int64(clamping: id)].flatMap { entry in
                entry.name.map { known.contains($0) } == true ? nil : entry
            }
            var entry =
                moved ?? renamed
                ?? Entry(
                    id: 0,
                    name: nil,
                    sequence: .integer(0),
                    seen: .blob([]),
                    timestamp: .integer(0),
                    floor: .integer(0)
                )
            entry.id = Int64(clamping: id)
            entry.name = names[id]
            restored.append(entry)
        }
        let outdated = entries.filter { entry in
            if entry.name.map({ known.contains($0) }) != true { return names.indices.contains(Int(clamping: entry.id)) }
            return !names.indices.contains(Int(clamping: entry.id)) || names[Int(clamping: entry.id)] != entry.name
        }
        for entry in outdated {
            try transaction.statement("DELETE FROM clinicsync_origin WHERE id = ?1").bind(1, entry.id).run()
        }
        for entry in restored { try self.insert(entry, in: transaction) }
        return wrong.count
    }

    private static func entries(on connection: Connection) throws -> [Entry] {
        var entries: [Entry] = []
        try connection
            .query("SELECT id, node, incarnation, sequence, seen, timestamp, floor FROM clinicsync_origin ORDER BY id")
            .forEach { row in
                var name: Origin?
                if let node = NodeID(storedBytes: row.blob(1)), let incarnation: UInt32 = row.number(2, in: 0 ... .max)
                {
                    name = Origin(node: node, incarnation: incarnation)
                }
                entries.append(
                    Entry(
                        id: row.int64(0),
                        name: name,
                        sequence: row.value(3),
                        seen: row.value(4),
                        timestamp: row.value(5),
                        floor: row.value(6)
                    )
                )
            }
        return entries
    }

    private static func insert(_ entry: Entry, in transaction: borrowing WriteTransaction) throws {
        guard let name = entry.name else { return }
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_origin (id, node, incarnation, sequence, seen, timestamp, floor)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                """
            )
            .bind(1, entry.id)
            .bind(2, blob: name.node.storedBytes)
            .bind(3, name.incarnation)
            .bind(4, entry.sequence)
            .bind(5, entry.seen)
            .bind(6, entry.timestamp)
            .bind(7, entry.floor)
            .run()
    }
}
