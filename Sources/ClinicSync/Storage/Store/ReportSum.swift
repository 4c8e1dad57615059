import ClinicSyncModel

/// The hash of everything that a report says of tables: equal reports need not be sent.
enum ReportSum {
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
