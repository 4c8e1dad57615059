import ClinicSyncModel
import FoundationEssentials

extension WireStateOffer {
    /// The wire form of an offer.
    init(_ offer: StateOffer) {
        self.init()
        self.rows = offer.rows
        self.bytes = offer.bytes
    }

    /// The offer.
    func model() throws(WireDecodingError) -> StateOffer {
        StateOffer(rows: try MessageCodec.rows(self.rows, "rows"), bytes: try MessageCodec.rows(self.bytes, "bytes"))
    }
}

extension WireStateRequest {
    /// The wire form of a wish for pages.
    init(_ request: StateRequest) {
        self.init()
        self.id = request.id
        if !request.vector.isEmpty { self.vector = WireVector(request.vector.entries) }
        if let after = request.after {
            self.table = after.table
            if let key = after.key { self.key = WireValue(key) }
        }
        self.creditBytes = request.creditBytes
    }

    /// The wish.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> StateRequest {
        var after: StateCursor?
        if self.hasTable {
            after = StateCursor(
                table: try MessageCodec.text(self.table, max: limits.nameBytesMax, "table"),
                key: self.hasKey ? try self.key.key(limits, "key") : nil
            )
        }
        return StateRequest(
            id: self.id,
            vector: self.hasVector ? try self.vector.vector(limits, "vector") : VersionVector(),
            after: after,
            creditBytes: self.creditBytes
        )
    }
}

extension WireStatePage {
    /// The wire form of a page.
    init(_ page: StatePage) {
        self.init()
        self.id = page.id
        self.vector = WireVector(page.vector.entries)
        self.table = page.table
        if let through = page.through { self.through = WireValue(through) }
        self.checksum = page.checksum
        self.payload = Data(page.payload)
        self.rows = page.rows
        self.isLast = page.isLast
        if !page.forgotten.isEmpty { self.forgotten = WireVector(page.forgotten.entries) }
        self.lacksRows = page.lacksRows
    }

    /// The page.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> StatePage {
        guard self.hasVector else { throw .missing(field: "vector") }
        return StatePage(
            id: self.id,
            vector: try self.vector.vector(limits, "vector"),
            table: try MessageCodec.text(self.table, max: limits.nameBytesMax, "table"),
            through: self.hasThrough ? try self.through.key(limits, "through") : nil,
            checksum: self.checksum,
            payload: try MessageCodec.bytes(self.payload, max: limits.rowStatesPayloadBytesMax, "payload"),
            rows: self.rows,
            isLast: self.isLast,
            forgotten: self.hasForgotten ? try self.forgotten.vector(limits, "forgotten") : VersionVector(),
            lacksRows: self.lacksRows
        )
    }
}

extension WireStateEnd {
    /// The wire form of an end.
    init(_ end: StateEnd) {
        self.init()
        self.id = end.id
        self.vector = WireVector(end.vector.entries)
        self.through = WireVector(end.through.entries)
    }

    /// The end.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> StateEnd {
        guard self.hasVector else { throw .missing(field: "vector") }
        guard self.hasThrough else { throw .missing(field: "through") }
        return StateEnd(
            id: self.id,
            vector: try self.vector.vector(limits, "vector"),
            through: try self.through.vector(limits, "through")
        )
    }
}
