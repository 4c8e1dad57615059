package import ClinicSyncModel

// Pages of a reconciliation; see ``RepairPages``.
extension ReplicaReader {
    /// The page of row hashes after `after`.
    package func rowHashes(round: UInt64, table: String, after: SQLiteValue?) throws -> RowHashPage {
        try self.perform { try RepairPages(reader: self).hashes(round: round, table: table, after: after) }
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
}
