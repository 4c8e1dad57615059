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
        try self.perform { try StateRanges(reader: self).compare(page) }
    }

    /// Answers a client's ranges.
    ///
    /// - Throws: ``StoreError``; ``MalformedChunk`` for ranges that cannot be read.
    package func answerRanges(_ page: StateRangePage) throws -> StateRangePage {
        try self.perform { try StateRanges(reader: self).answer(page) }
    }

    /// The states that a client asks for, in pages; the last one ends the answer.
    ///
    /// When they do not fit one answer, the next round finds the rest.
    package func states(_ wants: StateWants) throws -> [RowStatePage] {
        try self.perform { try StateRanges(reader: self).states(wants) }
    }
}
