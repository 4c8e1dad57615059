import ClinicSyncModel
import GRDBSQLite

/// Reads the log of batches of a file that is set aside, as far as it can be read.
///
/// A file that a program or a disk damaged may still have what this node wrote and no other node has.
struct LogSalvage {
    /// The file.
    let path: String
    /// The chunks that are given together have about this size in bytes.
    static let pageBytes = 4 << 20
    /// The places that cannot be read, one after another, after which nothing more is tried.
    private static let failuresMax = 10_000

    /// Gives `body` all chunks in the order of the log, page by page.
    ///
    /// - Returns: The number of places that could not be read.
    /// - Throws: ``StoreError`` when nothing can be read, and what `body` throws.
    func read(_ body: ([BatchChunk]) throws -> Void) throws -> Int {
        try DatabaseCopy.reading(self.path, isCut: true) { db in
            let connection = try Connection(db)
            defer { connection.finalizeStatements() }
            let authors = try LogSalvage.authors(on: connection)
            var walk = Walk()
            var (page, bytes): ([BatchChunk], Int) = ([], 0)
            while let chunk = try walk.next({ try LogSalvage.next(after: $0, authors: authors, on: connection) }) {
                page.append(chunk)
                bytes += chunk.payload.count
                guard bytes >= LogSalvage.pageBytes else { continue }
                try body(page)
                (page, bytes) = ([], 0)
            }
            if !page.isEmpty { try body(page) }
            return walk.unreadable
        }
    }

    /// A walk through the positions of a damaged log.
    private struct Walk {
        /// The number of places that could not be read.
        var unreadable = 0
        private var position: Int64 = 0
        /// What is skipped at the next place that cannot be read; it doubles until something can be read again.
        private var gap: Int64 = 1
        private var failures = 0

        /// The next chunk that can be read; `nil` at the end.
        mutating func next(_ read: (Int64) throws -> (position: Int64, chunk: BatchChunk?)?) throws -> BatchChunk? {
            while self.failures < LogSalvage.failuresMax {
                do {
                    guard let found = try read(self.position) else { return nil }
                    (self.position, self.gap) = (found.position, 1)
                    if let chunk = found.chunk {
                        self.failures = 0
                        return chunk
                    }
                } catch let failure as SQLiteFailure where LogSalvage.isDamage(failure) {
                    let (next, isPast) = self.position.addingReportingOverflow(self.gap)
                    guard !isPast else { return nil }
                    self.position = next
                    self.gap = self.gap.multipliedReportingOverflow(by: 2).overflow ? self.gap : self.gap * 2
                }
                self.unreadable += 1
                self.failures += 1
            }
            return nil
        }
    }

    private static func isDamage(_ failure: SQLiteFailure) -> Bool {
        [SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_IOERR].contains(failure.code & 0xff)
    }

    /// The authors by their small numbers, as far as they can be read.
    private static func authors(on connection: Connection) throws -> [Int64: Origin] {
        var authors: [Int64: Origin] = [:]
        do {
            for (id, name) in try AuthorNames.read(on: connection).enumerated() { authors[Int64(clamping: id)] = name }
        } catch let failure as SQLiteFailure where self.isDamage(failure) {}
        guard authors.isEmpty else { return authors }
        do {
            try connection.query("SELECT id, node, incarnation FROM clinicsync_origin").forEach { row in
                guard let node = NodeID(storedBytes: row.blob(1)),
                    let incarnation: UInt32 = row.number(2, in: 0 ... .max)
                else { return }
                let number = row.int64(0)
                authors[number] = Origin(node: node, incarnation: incarnation)
            }
        } catch let failure as SQLiteFailure where self.isDamage(failure) {}
        return authors
    }

    /// The next chunk in the log; without a chunk when its row cannot be read.
    private static func next(
        after position: Int64,
        authors: [Int64: Origin],
        on connection: Connection
    ) throws -> (position: Int64, chunk: BatchChunk?)? {
        try connection
            .query(
                """
                SELECT position, origin, sequence, chunk, isLast, header, checksum, payload
                FROM clinicsync_log WHERE position > ?1 ORDER BY position LIMIT 1
                """
            )
            .bind(1, position)
            .first { row in (row.int64(0), self.chunk(row, authors: authors)) }
    }

    private static func chunk(_ row: Statement, authors: [Int64: Origin]) -> BatchChunk? {
        do {
            let number = row.int64(1)
            guard let author = authors[number] else { return nil }
            try BatchLog.check(row.blob(7), checksum: row.unsigned(6))
            let index = try row.chunkIndex(3)
            guard row.isNull(5) == (index > 0) else { return nil }
            return BatchChunk(
                batch: BatchID(origin: author, sequence: try row.sequence(2)),
                index: index,
                header: row.isNull(5) ? nil : try VectorCoding.decodeHeader(row.blob(5)),
                isLast: row.int64(4) != 0,
                checksum: row.unsigned(6),
                payload: Array(row.blob(7))
            )
        } catch {
            return nil
        }
    }
}
