import ClinicSyncCore
import ClinicSyncModel

/// Compares ranges of a table's states with a peer's, in one read snapshot of a reader.
struct StateRanges {
    let reader: ReplicaReader

    /// Begins to compare with the host, or goes on with the host's answer.
    ///
    /// - Throws: ``StoreError``; ``OwnDamage``; ``MalformedChunk`` for an answer that cannot be read.
    func compare(_ page: StateRangePage) throws -> RangeStep {
        var step = RangeStep(round: page.round, table: page.table)
        guard let plan = self.reader.plans[page.table] else { return step }
        let ranges = try self.reader.stateIndex(plan).ranges
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

    /// Answers a client's ranges.
    ///
    /// - Throws: ``StoreError``; ``OwnDamage``; ``MalformedChunk`` for ranges that cannot be read.
    func answer(_ page: StateRangePage) throws -> StateRangePage {
        var answer = StateRangePage(round: page.round, table: page.table, ranges: [])
        guard let plan = self.reader.plans[page.table] else { return answer }
        let ranges = try self.reader.stateIndex(plan).ranges
        let bytes = try MalformedChunk.reading(page.ranges) { try ranges.answer(to: $0) }
        answer.isTooLong = bytes == nil
        answer.ranges = bytes ?? []
        return answer
    }

    /// The states that a client asks for, in pages; the last one ends the answer.
    ///
    /// - Throws: ``StoreError``; ``OwnDamage``.
    func states(_ wants: StateWants) throws -> [RowStatePage] {
        let keys = try self.reader.plans[wants.table].map { try self.keys(of: wants.ids, $0) } ?? []
        let pages = try RepairPages(reader: self.reader)
            .states(round: wants.round, table: wants.table, keys: keys, isWhole: false).pages
        guard pages.isEmpty else { return pages }
        return [RowStatePage(round: wants.round, table: wants.table, payload: [], wanted: [], isLast: true)]
    }

    /// The keys of states, in their order.
    private func keys(of ids: [UInt64], _ plan: TablePlan) throws -> [SQLiteValue] {
        guard !ids.isEmpty else { return [] }
        let ids = Set(ids)
        var keys: Set<SQLiteValue> = []
        try StateScan(plan, reader: self.reader).forEach(withStamps: false) { key, _, hash in
            if ids.contains(hash.low) { keys.insert(key.value) }
        }
        return keys.sorted { $0.sortsBefore($1) }
    }
}
