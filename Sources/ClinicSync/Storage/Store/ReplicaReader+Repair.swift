package import ClinicSyncCore
package import ClinicSyncModel

// Pages of a reconciliation; see ``RepairPages``.
extension ReplicaReader {
    /// The page of row hashes after `after`, with those of rows that the table does not show if `hasHidden`.
    package func rowHashes(
        round: UInt64,
        table: String,
        after: SQLiteValue?,
        hasHidden: Bool = true
    ) throws -> RowHashPage {
        try self.perform {
            try RepairPages(reader: self).hashes(round: round, table: table, after: after, hasHidden: hasHidden)
        }
    }

    /// Compares a peer's page with our rows in its range.
    ///
    /// - Returns: The rows the peer lacks or has otherwise, with the keys of those we want. The last page ends the answer, and
    ///   says how far the answer goes when it does not cover the peer's page.
    package func compare(_ page: RowHashPage) throws -> [RowStatePage] {
        try self.perform { try RepairPages(reader: self).compare(page) }
    }

    /// The states of the rows named, in pages; the last one ends the answer.
    package func rowStates(round: UInt64, table: String, keys: [SQLiteValue]) throws -> [RowStatePage] {
        try self.perform {
            try RepairPages(reader: self).states(round: round, table: table, keys: keys, isWhole: true).pages
        }
    }

    /// The states of as many of the rows named as one answer may have, in pages; the last one ends the answer.
    ///
    /// - Returns: The pages, and the keys for which another answer is needed.
    package func answer(
        round: UInt64,
        table: String,
        keys: [SQLiteValue]
    ) throws -> (pages: [RowStatePage], rest: [SQLiteValue]) {
        try self.perform {
            try RepairPages(reader: self).states(round: round, table: table, keys: keys, isWhole: false)
        }
    }

    // MARK: - Ranges of states

    /// Begins to compare a table's states with the host's, or goes on with the host's answer.
    ///
    /// - Throws: ``StoreError``; ``MalformedChunk`` for an answer that cannot be read.
    package func compareRanges(_ page: StateRangePage) throws -> RangeStep {
        try self.perform {
            var step = RangeStep(round: page.round, table: page.table)
            guard let plan = self.plans[page.table] else { return step }
            let ranges = try self.stateIndex(plan).ranges
            guard !page.ranges.isEmpty else {
                step.next = StateRangePage(round: page.round, table: page.table, ranges: ranges.first())
                return step
            }
            let found = try MalformedChunk.reading(page.ranges) { try ranges.compare(with: $0) }
            step.isTooLong = found.isTooLong
            step.need = found.need
            step.next = found.next.map { StateRangePage(round: page.round, table: page.table, ranges: $0) }
            step.haveKeys = try self.keys(of: found.have, plan)
            return step
        }
    }

    /// Answers a client's ranges.
    ///
    /// - Throws: ``StoreError``; ``MalformedChunk`` for ranges that cannot be read.
    package func answerRanges(_ page: StateRangePage) throws -> StateRangePage {
        try self.perform {
            var answer = StateRangePage(round: page.round, table: page.table, ranges: [])
            guard let plan = self.plans[page.table] else { return answer }
            let ranges = try self.stateIndex(plan).ranges
            let bytes = try MalformedChunk.reading(page.ranges) { try ranges.answer(to: $0) }
            answer.isTooLong = bytes == nil
            answer.ranges = bytes ?? []
            return answer
        }
    }

    /// The states that a client asks for, in pages; the last one ends the answer.
    ///
    /// When they do not fit one answer, the next round finds the rest.
    package func states(_ wants: StateWants) throws -> [RowStatePage] {
        try self.perform {
            let keys = try self.plans[wants.table].map { try self.keys(of: wants.ids, $0) } ?? []
            let pages = try RepairPages(reader: self)
                .states(round: wants.round, table: wants.table, keys: keys, isWhole: false).pages
            guard pages.isEmpty else { return pages }
            return [RowStatePage(round: wants.round, table: wants.table, payload: [], wanted: [], isLast: true)]
        }
    }

    /// The keys of states, in their order.
    private func keys(of ids: [UInt64], _ plan: TablePlan) throws -> [SQLiteValue] {
        guard !ids.isEmpty else { return [] }
        let ids = Set(ids)
        var keys: Set<SQLiteValue> = []
        try StateScan(plan, reader: self).forEach(withStamps: false) { key, _, hash in
            if ids.contains(hash.low) { keys.insert(key.value) }
        }
        return keys.sorted { $0.sortsBefore($1) }
    }
}
