import ClinicSyncCore
import ClinicSyncModel

/// Reads this node's state for a peer, page by page, each answer in one short read snapshot of a reader.
///
/// The state is ordered by table and key. Rows that change behind the place where the peer is come to it from the log, because
/// the log keeps what the node had not applied when the transfer began: see `docs/design/0024-state-transfer.md`.
struct StatePages {
    let reader: ReplicaReader

    /// Keys that are looked up at a time.
    private static let keysMax = 512

    // MARK: - Offers

    /// What can be offered in place of the log behind `position`.
    ///
    /// - Parameter position: where the log can serve the peer; `nil` when it cannot.
    /// - Returns: The offer; `nil` when the log is as cheap.
    /// - Throws: what SQLite reports.
    func offer(inPlaceOfLogAfter position: UInt64?) throws -> StateOffer? {
        let sizes = try self.sizes()
        guard let position else { return sizes.offer }
        let logged = try self.reader.connection
            .query("SELECT count(*) FROM (SELECT 1 FROM clinicsync_log WHERE position > ?1 LIMIT ?2)")
            .bind(1, position)
            .bind(2, self.reader.limits.stateLogChunksMin)
            .first { $0.int(0) }
        guard logged ?? 0 >= self.reader.limits.stateLogChunksMin else { return nil }
        let bytes = try self.logBytes(after: position)
        return bytes > sizes.offer.bytes ? sizes.offer : nil
    }

    private func logBytes(after position: UInt64) throws -> UInt64 {
        try self.reader.connection.query("SELECT sum(length(payload)) FROM clinicsync_log WHERE position > ?1")
            .bind(1, position)
            .first { UInt64(clamping: $0.int64(0)) } ?? 0
    }

    /// The rows, and the bytes of the file without its log: at least as many as the pages have.
    private func sizes() throws -> (offer: StateOffer, log: UInt64) {
        let connection = self.reader.connection
        func number(_ pragma: String) throws -> UInt64 {
            try connection.query("PRAGMA \(pragma)").first { UInt64(clamping: $0.int64(0)) } ?? 0
        }
        let rows = try connection.query("SELECT sum(rows) FROM clinicsync_digest").first { $0.int64(0) } ?? 0
        let pages = try number("page_count") - min(number("freelist_count"), number("page_count"))
        let log = try self.logBytes(after: 0)
        let file = pages.multipliedReportingOverflow(by: try number("page_size")).partialValue
        let bytes = min(file - min(log, file), Bounds.rowsMax)
        return (StateOffer(rows: min(UInt64(clamping: rows), Bounds.rowsMax), bytes: bytes), log)
    }

    // MARK: - Pages

    /// The next pages for a peer.
    ///
    /// A peer that has a part of a state which this node cannot continue, because it lacks batches of it, gets the state from
    /// its beginning.
    func answer(_ request: StateRequest) throws -> StateAnswer {
        try self.reader.refreshOrigins()
        let vector = try self.reader.vector()
        // While a large import is collected, tables show a part of it. The receiver waits for the whole batch.
        var through = vector
        if let open = try self.reader.log.openBatch() {
            through.advance(self.reader.own.origin, to: open)
        }
        var answer = StateAnswer(pages: [])
        var cursor = request.after
        var start = request.vector
        let floor = try LogFloor.read(of: self.reader.authorNames, on: self.reader.connection)
        // The log must still have what follows, or the peer would wait for it in vain.
        if cursor == nil || !vector.covers(start) || !floor.isReached(by: start) {
            start = vector
            cursor = StateCursor(table: "")
            let payload = AuthorCoding.encode(try self.authors())
            answer.pages.append(self.page(request, start, StateCursor(table: ""), payload, rows: 0))
        }
        var writing = Writing(request: request, vector: start, through: through)
        writing.mayLackRows = try AbsentRows.mayMislead(on: self.reader.connection)
        writing.forgotten = try ForgottenRows.removed(on: self.reader.connection).vector
        if !answer.pages.isEmpty { answer.pages[0].forgotten = writing.takeForgotten() }
        writing.bytes = answer.pages.reduce(0) { $0 + $1.payload.count }
        // An answer has a page, however little the peer asks for.
        let credit = max(1, min(Int(clamping: request.creditBytes), self.reader.limits.stateAnswerBytes))
        for plan in self.plans(after: cursor) {
            var after = plan.definition.name == cursor?.table ? cursor?.key : nil
            var isWhole = false
            while !isWhole {
                guard writing.bytes < credit else { return self.unfinished(answer) }
                let keys = try self.keys(of: plan, after: after)
                isWhole = keys.count < StatePages.keysMax
                (after, isWhole) = try self.write(
                    plan,
                    keys,
                    after: after,
                    isWhole: isWhole,
                    credit,
                    &writing,
                    to: &answer
                )
            }
        }
        // The columns that a program has just written were left out: they come with this node's next batch.
        if try self.hasOpenEdits(through) {
            through.advance(self.reader.own.origin, to: through[self.reader.own.origin] &+ 1)
        }
        answer.end = StateEnd(id: request.id, vector: start, through: through)
        return answer
    }

    /// Marks that are looked at: with more of them, some row has surely changed.
    private static let marksMax = 256

    /// Whether a program has changed a row of which the peer may have a part, and the change is not collected yet.
    private func hasOpenEdits(_ through: VersionVector) throws -> Bool {
        var marks: [(table: Int, key: SQLiteValue)] = []
        try self.reader.connection
            .query("SELECT tableId, pk FROM clinicsync_dirty WHERE CAST(n AS INTEGER) > 0 LIMIT ?1")
            .bind(1, StatePages.marksMax)
            .forEach { marks.append(($0.int(0), $0.ref(1).value)) }
        guard marks.count < StatePages.marksMax else { return true }
        let states = self.reader.loader(through)
        return try marks.contains { mark in
            guard let plan = self.reader.plans[mark.table],
                let known = try states.known(plan, key: mark.key, mayBeShadow: true), known.isShown,
                let meta = known.meta
            else { return false }
            return RepairPages.differingSlots(plan, known.state, meta) != 0
        }
    }

    /// What one answer has written so far.
    private struct Writing {
        let request: StateRequest
        let vector: VersionVector
        let through: VersionVector
        var bytes = 0
        /// Whether this node may lack rows that nobody deleted.
        var mayLackRows = false
        /// What the next page is to say of tombstones that are gone: the first one of an answer says it.
        var forgotten = VersionVector()

        mutating func takeForgotten() -> VersionVector {
            defer { self.forgotten = VersionVector() }
            return self.forgotten
        }
    }

    private func unfinished(_ answer: StateAnswer) -> StateAnswer {
        var answer = answer
        answer.pages[answer.pages.count - 1].isLast = true
        return answer
    }

    /// The tables that are not complete behind `cursor`, in the order of their names' bytes.
    private func plans(after cursor: StateCursor?) -> [TablePlan] {
        self.reader.plans.all
            .sorted { $0.definition.name.utf8.lexicographicallyPrecedes($1.definition.name.utf8) }
            .filter { StateCursor(table: $0.definition.name).isBehind(cursor ?? StateCursor(table: "")) }
    }

    /// The next keys of a table: of rows that it shows, that are deleted, or that show another form.
    private func keys(of plan: TablePlan, after: SQLiteValue?) throws -> [SQLiteValue] {
        var keys: [SQLiteValue] = []
        // Most tables have none of the others, and a union costs as much as the rest.
        let others = try ["tombstone", "shadow"].filter { try self.has(plan, in: $0) }
            .map { "UNION SELECT pk FROM clinicsync_\($0) WHERE tableId = ?1 AND pk > ?2" }
        // Keys are texts and blobs; every number is smaller.
        try self.reader.connection
            .query(
                """
                SELECT pk FROM clinicsync_row WHERE tableId = ?1 AND pk > ?2 \(others.joined(separator: " "))
                ORDER BY pk LIMIT ?3
                """
            )
            .bind(1, plan.definition.number)
            .bind(2, after ?? .integer(0))
            .bind(3, StatePages.keysMax)
            .forEach { keys.append($0.ref(0).value) }
        return keys
    }

    /// Writes the states of these rows, the next ones behind the key `after`, into pages.
    ///
    /// - Returns: The last key that is written, and whether the table is complete.
    private func write(
        _ plan: TablePlan,
        _ keys: [SQLiteValue],
        after: SQLiteValue?,
        isWhole: Bool,
        _ credit: Int,
        _ writing: inout Writing,
        to answer: inout StateAnswer
    ) throws -> (after: SQLiteValue?, isWhole: Bool) {
        let states = self.reader.loader(writing.through)
        let mayBeShadow = try self.has(plan, in: "shadow")
        var plain =
            try mayBeShadow || plan.counterSlots != 0
            ? nil : PlainRows(plan, after: after, on: self.reader.connection)
        defer { plain?.end() }
        var writer = RowStateWriter(plan)
        var rows: UInt32 = 0
        var lacksRows = false
        func close(at key: SQLiteValue?) {
            let cursor = StateCursor(table: plan.definition.name, key: key)
            let payload = rows == 0 ? [] : writer.payload()
            writing.bytes += payload.count
            var page = self.page(writing.request, writing.vector, cursor, payload, rows: rows)
            page.forgotten = writing.takeForgotten()
            page.lacksRows = lacksRows || writing.mayLackRows
            answer.pages.append(page)
            writer = RowStateWriter(plan)
            (rows, lacksRows) = (0, false)
        }
        for (index, key) in keys.enumerated() {
            if try self.appendPlain(key, &plain, writing.through, to: &writer) {
                rows += 1
            } else if let state = try RepairPages.sendable(plan, key: key, states, mayBeShadow: mayBeShadow),
                self.append(state, through: writing.through, to: &writer)
            {
                rows += 1
            } else {
                lacksRows = true
            }
            guard writer.count >= self.reader.limits.pageBytes else { continue }
            let isLast = isWhole && index == keys.count - 1
            close(at: isLast ? nil : key)
            if isLast { return (nil, true) }
            if writing.bytes >= credit { return (key, false) }
        }
        if isWhole {
            close(at: nil)
            return (nil, true)
        }
        let last = keys.last
        close(at: last)
        return (last, false)
    }

    /// Whether a table has rows among those of `clinicsync_tombstone` or `clinicsync_shadow`.
    private func has(_ plan: TablePlan, in table: String) throws -> Bool {
        try self.reader.connection.query("SELECT 1 FROM clinicsync_\(table) WHERE tableId = ?1 LIMIT 1")
            .bind(1, plan.definition.number)
            .first { _ in true } ?? false
    }

    /// Appends a row that one change wrote as a whole, straight from its table: most rows are such ones.
    ///
    /// - Returns: Whether the row was appended. If not, nothing was: the long way says why.
    private func appendPlain(
        _ key: SQLiteValue,
        _ rows: inout PlainRows?,
        _ through: VersionVector,
        to writer: inout RowStateWriter
    ) throws -> Bool {
        guard try rows?.find(key) == true, key.byteCount <= self.reader.limits.keyBytesMax,
            let birth = rows?.birth(self.reader.origins), through.covers(birth), rows?.isIntact() == true
        else { return false }
        let end = writer.count
        rows?.append(birth, to: &writer)
        if writer.count - end > self.reader.limits.stateBytesMax { writer.truncate(to: end) }
        return writer.count > end
    }

    /// Appends a row, unless it must not be seen elsewhere: see ``RepairPages``.
    private func append(_ row: RowState, through: VersionVector, to writer: inout RowStateWriter) -> Bool {
        guard row.key.byteCount <= self.reader.limits.keyBytesMax, RowStateWriter.takes(row),
            row.names(only: { through.covers($0) })
        else { return false }
        var state = row
        state.limitSeen(to: through)
        let end = writer.count
        writer.append(state)
        guard writer.count - end <= self.reader.limits.stateBytesMax else {
            writer.truncate(to: end)
            return false
        }
        return true
    }

    private func page(
        _ request: StateRequest,
        _ vector: VersionVector,
        _ cursor: StateCursor,
        _ payload: [UInt8],
        rows: UInt32
    ) -> StatePage {
        StatePage(
            id: request.id,
            vector: vector,
            table: cursor.table,
            through: cursor.key,
            checksum: BatchChunk.checksum(of: payload),
            payload: payload,
            rows: rows,
            isLast: false
        )
    }

    /// The authors of batches, with what each had applied.
    private func authors() throws -> [AuthorState] {
        var authors: [AuthorState] = []
        try self.reader.connection.query("SELECT id, sequence, timestamp, seen FROM clinicsync_origin ORDER BY id")
            .forEach { row in
                let origin = try ServedLog.origin(row.int(0), of: self.reader.authorNames)
                let sequence = try OwnDamage.reading(.origin) { try row.sequence(1) }
                guard origin.node != Origin.genesis.node, sequence > 0 else { return }
                authors.append(
                    AuthorState(
                        origin: origin,
                        sequence: sequence,
                        timestamp: HybridTimestamp(rawValue: row.unsigned(2)),
                        seen: try OwnDamage.reading(.origin) { try VectorCoding.decode(row.blob(3)) }
                    )
                )
            }
        return authors
    }
}
