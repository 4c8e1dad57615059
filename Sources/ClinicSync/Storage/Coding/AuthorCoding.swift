import ClinicSyncModel

/// An author of batches as a state describes it.
struct AuthorState: Hashable {
    /// The author.
    var origin: Origin
    /// The number of the author's newest batch that the state contains.
    var sequence: UInt64
    /// The author's largest stamp.
    var timestamp: HybridTimestamp
    /// What the author had applied when it made that batch.
    var seen: VersionVector
}

/// The authors of batches as bytes: the first page of a state.
///
/// `docs/PROTOCOL.md`, "Authors", describes the format.
enum AuthorCoding {
    private static let format: UInt8 = 1
    /// The largest encoding, below the limit of a page.
    ///
    /// What further authors had seen is left out: a receiver then enters some values into the journal too many.
    private static let bytesMax = 7 << 20

    /// The bytes of these authors.
    static func encode(_ authors: [AuthorState]) -> [UInt8] {
        var writer = ByteWriter()
        writer.byte(self.format)
        writer.unsigned(UInt64(authors.count))
        var indexes: [Origin: Int] = [:]
        for (index, author) in authors.enumerated() {
            indexes[author.origin] = index
            writer.origin(author.origin)
            writer.unsigned(author.sequence)
            writer.fixed64(author.timestamp.rawValue)
        }
        for author in authors {
            let seen = author.seen.entries.compactMap { entry in indexes[entry.origin].map { ($0, entry.sequence) } }
            guard writer.count + seen.count * 12 <= self.bytesMax else {
                writer.unsigned(0)
                continue
            }
            writer.unsigned(UInt64(seen.count))
            for (index, sequence) in seen {
                writer.unsigned(UInt64(index))
                writer.unsigned(sequence)
            }
        }
        return writer.bytes
    }

    /// The authors in a peer's bytes.
    ///
    /// - Throws: ``MalformedRecord`` for other bytes, and for an author that is named twice or that makes no batches.
    static func decode(_ bytes: UnsafeRawBufferPointer) throws(MalformedRecord) -> [AuthorState] {
        var reader = ByteReader(bytes)
        guard try reader.byte() == self.format else {
            throw MalformedRecord(reason: "the authors have an unknown format")
        }
        var authors: [AuthorState] = []
        var names: Set<Origin> = []
        for _ in 0..<(try reader.count(ofAtLeast: 27, limit: RecordLimits.originsMax)) {
            let origin = try reader.origin()
            guard origin.node != Origin.genesis.node, names.insert(origin).inserted else {
                throw MalformedRecord(reason: "an author is named twice, or is none")
            }
            let sequence = try reader.sequence()
            let timestamp = try reader.timestamp()
            authors.append(
                AuthorState(origin: origin, sequence: sequence, timestamp: timestamp, seen: VersionVector())
            )
        }
        for index in authors.indices {
            var seen: [VersionVector.Entry] = []
            for _ in 0..<(try reader.count(ofAtLeast: 2, limit: RecordLimits.originsMax)) {
                let place = try reader.unsigned()
                guard place < UInt64(authors.count) else {
                    throw MalformedRecord(reason: "an author's number is too large")
                }
                // Nobody has seen what does not exist.
                let author = authors[Int(place)]
                let sequence = min(try reader.sequence(), author.sequence)
                seen.append(VersionVector.Entry(origin: author.origin, sequence: sequence))
            }
            authors[index].seen = VersionVector(seen)
        }
        guard reader.isAtEnd else { throw MalformedRecord(reason: "the authors have no end") }
        return authors
    }
}
