import ClinicSyncCore
import ClinicSyncModel

/// What a report says of tables, and the hash of it: equal reports need not be sent.
enum ReportSum {
    /// Counts and sums of one table.
    ///
    /// - Throws: what SQLite reports.
    static func digest(of plan: TablePlan, on connection: Connection) throws -> TableDigest {
        var table = TableDigest(name: plan.definition.name, rows: 0, digest: .zero)
        let number = plan.definition.number
        _ = try connection.query("SELECT rows, high, low FROM clinicsync_digest WHERE tableId = ?1")
            .bind(1, number)
            .first { row in
                table.rows = min(UInt64(clamping: row.int64(0)), Bounds.rowsMax)
                table.digest = Digest(high: row.unsigned(1), low: row.unsigned(2))
            }
        let sums = try StateSums.sums(of: number, on: connection)
        (table.hidden, table.deleted) = (sums[.hidden], sums[.deleted])
        return table
    }

    /// The hash of the tables' names, counts and sums.
    static func of(_ tables: [TableDigest]) -> Digest {
        var writer = ByteWriter()
        for table in tables {
            writer.string(table.name)
            self.append(StateSum(rows: table.rows, digest: table.digest), to: &writer)
            self.append(table.hidden, to: &writer)
            self.append(table.deleted, to: &writer)
        }
        let (low, high) = writer.bytes.withUnsafeBytes { SipHash.hash128($0) }
        return Digest(high: high, low: low)
    }

    private static func append(_ sum: StateSum?, to writer: inout ByteWriter) {
        guard let sum else { return writer.byte(0) }
        writer.byte(1)
        writer.fixed64(sum.rows)
        writer.fixed64(sum.digest.high)
        writer.fixed64(sum.digest.low)
    }
}
