import ClinicSyncModel
import FoundationEssentials

extension WireDigests {
    /// The wire form of a report.
    init(_ report: DigestReport) {
        self.init()
        self.round = report.round
        self.vector = WireVector(report.vector.entries)
        self.tables = report.tables.map(Table.init)
        if let sum = report.sum { self.sum = sum.wireBytes }
    }

    /// The report.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> DigestReport {
        guard self.hasVector else { throw .missing(field: "vector") }
        guard self.tables.count <= limits.tablesMax else { throw .limitExceeded(field: "tables") }
        var tables = [TableDigest]()
        tables.reserveCapacity(self.tables.count)
        for table in self.tables { tables.append(try table.model(limits)) }
        return DigestReport(
            round: self.round,
            vector: try self.vector.vector(limits, "vector"),
            sum: self.sum.isEmpty ? nil : try MessageCodec.digest(self.sum, "sum"),
            tables: tables
        )
    }
}

extension WireDigests.Table {
    /// The wire form of a table's digest.
    init(_ table: TableDigest) {
        self.init()
        self.name = table.name
        self.rows = table.rows
        self.digest = table.digest.wireBytes
        if let hidden = table.hidden { (self.hiddenRows, self.hiddenDigest) = (hidden.rows, hidden.digest.wireBytes) }
        if let deleted = table.deleted {
            (self.deletedRows, self.deletedDigest) = (deleted.rows, deleted.digest.wireBytes)
        }
    }

    /// The table's digest.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> TableDigest {
        TableDigest(
            name: try MessageCodec.text(self.name, max: limits.nameBytesMax, "name"),
            rows: try MessageCodec.rows(self.rows, "rows"),
            digest: try MessageCodec.digest(self.digest, "digest"),
            hidden: try Self.sum(self.hiddenRows, self.hiddenDigest, "hidden"),
            deleted: try Self.sum(self.deletedRows, self.deletedDigest, "deleted")
        )
    }

    private static func sum(_ rows: UInt64, _ digest: Data, _ field: String) throws(WireDecodingError) -> StateSum? {
        guard !digest.isEmpty else { return nil }
        return StateSum(rows: try MessageCodec.rows(rows, field), digest: try MessageCodec.digest(digest, field))
    }
}

extension WireRowHashes {
    /// The wire form of a page.
    init(_ page: RowHashPage) {
        self.init()
        self.round = page.round
        self.table = page.table
        if let after = page.after { self.after = WireValue(after) }
        if let through = page.through { self.through = WireValue(through) }
        self.keys = page.rows.map { WireValue($0.key) }
        var hashes = [UInt8]()
        hashes.reserveCapacity(page.rows.count * 16)
        for row in page.rows { MessageCodec.append(high: row.hash.high, low: row.hash.low, to: &hashes) }
        self.hashes = Data(hashes)
        self.hasHidden_p = page.hasHidden
    }

    /// The page.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> RowHashPage {
        let keys = try WireValue.keys(self.keys, max: limits.rowHashesMax, limits, "keys")
        guard self.hashes.count == keys.count * 16 else { throw .wrongLength(field: "hashes") }
        let hashes = Array(self.hashes)
        return RowHashPage(
            round: self.round,
            table: try MessageCodec.text(self.table, max: limits.nameBytesMax, "table"),
            after: self.hasAfter ? try self.after.key(limits, "after") : nil,
            through: self.hasThrough ? try self.through.key(limits, "through") : nil,
            rows: keys.enumerated().map { index, key in
                let (high, low) = MessageCodec.halves(of: hashes, at: index)
                return RowHash(key: key, hash: Digest(high: high, low: low))
            },
            hasHidden: self.hasHidden_p
        )
    }
}

extension WireRowStates {
    /// The wire form of a page.
    init(_ page: RowStatePage) {
        self.init()
        self.round = page.round
        self.table = page.table
        self.payload = Data(page.payload)
        self.wanted = page.wanted.map(WireValue.init)
        self.isLast = page.isLast
        if let covered = page.covered { self.covered = WireValue(covered) }
    }

    /// The page.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> RowStatePage {
        RowStatePage(
            round: self.round,
            table: try MessageCodec.text(self.table, max: limits.nameBytesMax, "table"),
            payload: try MessageCodec.bytes(self.payload, max: limits.rowStatesPayloadBytesMax, "payload"),
            wanted: try WireValue.keys(self.wanted, max: limits.wantedKeysMax, limits, "wanted"),
            isLast: self.isLast,
            covered: self.hasCovered ? try self.covered.key(limits, "covered") : nil
        )
    }
}

extension WireStateRanges {
    /// The wire form of ranges.
    init(_ page: StateRangePage) {
        self.init()
        self.round = page.round
        self.table = page.table
        self.ranges = Data(page.ranges)
        self.isTooLong = page.isTooLong
    }

    /// The ranges.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> StateRangePage {
        StateRangePage(
            round: self.round,
            table: try MessageCodec.text(self.table, max: limits.nameBytesMax, "table"),
            ranges: try MessageCodec.bytes(self.ranges, max: limits.rangesBytesMax, "ranges"),
            isTooLong: self.isTooLong
        )
    }
}

extension WireStateWants {
    /// The wire form of a wish.
    init(_ wants: StateWants) {
        self.init()
        self.round = wants.round
        self.table = wants.table
        self.ids = wants.ids
    }

    /// The wish.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> StateWants {
        guard self.ids.count <= limits.wantedKeysMax else { throw .limitExceeded(field: "ids") }
        return StateWants(
            round: self.round,
            table: try MessageCodec.text(self.table, max: limits.nameBytesMax, "table"),
            ids: self.ids
        )
    }
}
