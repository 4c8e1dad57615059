import ClinicSyncModel

/// Reads chunks in full before anything of them is stored.
///
/// What a chunk must be follows from its own bytes and its batch's timestamp alone: not from this node's tables, clock or
/// state. So every node comes to the same result. `docs/design/0012-poison.md` has the rules.
enum ChunkCheck {
    /// The payload of a chunk without changes.
    ///
    /// A batch that is set aside is passed on with this payload.
    static let emptyPayload: [UInt8] = [ChangeChunkWriter.format, 0]

    /// Reads every table, column, change and value of a payload.
    ///
    /// - Parameters:
    ///   - payload: the payload.
    ///   - base: the timestamp of the batch.
    /// - Throws: ``MalformedRecord`` when the payload does not have the format.
    static func read(_ payload: UnsafeRawBufferPointer, base: HybridTimestamp) throws(MalformedRecord) {
        var reader = try ChangeChunkReader(payload, base: base, plans: nil)
        while try reader.next() != nil {}
    }

    /// Whether a payload has the format, if the timestamp of its batch is left out of account.
    static func canBeRead(_ payload: [UInt8]) -> Bool {
        // A stamp in the middle has room for every difference between two stamps of one batch.
        let middle = HybridTimestamp(milliseconds: Bounds.millisecondsMax / 2)
        do throws(MalformedRecord) {
            try self.read(payload, base: middle)
            return true
        } catch {
            return false
        }
    }

    /// Reads a payload of a chunk that is in memory.
    static func read(_ payload: [UInt8], base: HybridTimestamp) throws(MalformedRecord) {
        var failure: MalformedRecord?
        payload.withUnsafeBytes { bytes in
            do throws(MalformedRecord) {
                try self.read(bytes, base: base)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// Checks what a chunk says of itself: its name, its place, its header and its checksum.
    ///
    /// - Throws: ``MalformedChunk``.
    static func outline(_ chunk: BatchChunk) throws {
        guard (1...Bounds.sequenceMax).contains(chunk.batch.sequence), chunk.batch.origin.node != Origin.genesis.node
        else { throw MalformedChunk(reason: "the batch has an impossible name") }
        guard chunk.index < Bounds.chunkIndexMax || chunk.index == Bounds.chunkIndexMax && chunk.isLast else {
            throw MalformedChunk(reason: "the batch has too many chunks")
        }
        guard (chunk.index == 0) == (chunk.header != nil) else {
            throw MalformedChunk(reason: "the header is not with the first chunk")
        }
        guard chunk.checksum == BatchChunk.checksum(of: chunk.payload) else {
            throw MalformedChunk(reason: "the checksum is wrong")
        }
    }
}
