import ClinicSyncCore

/// Sizes by which a store divides its work; the simulator makes them small, so that little data meets every path.
package struct StoreLimits: Sendable, Hashable {
    /// A chunk of an own batch is closed at this size.
    package var chunkBytes = ChangeChunkWriter.bytesMax
    /// Batches with at most so much payload are applied in the transaction that logs them.
    package var smallBatchBytes = 256 << 10
    /// A page of row states is closed at this size.
    package var pageBytes = 256 << 10
    /// The values of one change of a row, in bytes: a larger one is not sent.
    ///
    /// A peer takes payloads of 8 MiB. A chunk that is not full yet may take one change more, so it stays
    /// below this and ``chunkBytes`` together, with the names of its tables and columns.
    package var changeBytesMax = 7 << 20
    /// The whole state of a row, in bytes: a larger one is in no page of a reconciliation.
    ///
    /// Merging can make a row larger than each of its changes.
    package var stateBytesMax = (7 << 20) + (256 << 10)
    /// A slice of a bulk collection ends after this many marks; `nil`: when its time is over.
    ///
    /// The simulator sets it, because it knows no real time: a run must not depend on the speed of the machine.
    package var sliceMarks: Int?
    /// So many of the newest events are kept for programs that come back.
    package var eventsKept = 10_000
    /// Of a reconciliation.
    package var repair = RepairLimits()
    /// Payload bytes of one answer to a peer that takes the state, except for one larger page.
    package var stateAnswerBytes = 512 << 10
    /// A peer that lacks fewer chunks of the log than this gets them, and not the state.
    package var stateLogChunksMin = 4_096
    /// A state with so many rows has the secondary indexes of empty tables built when the tables are full.
    package var largeStateRowsMin: UInt64 = 10_000
    /// The largest key that leaves this PC, in bytes; a receiver takes no larger one.
    package var keyBytesMax = 4_096
    /// Of one table, with more unmarked changes at a time than this the values of the other nodes are shown again.
    package var unmarkedMax = 1_000

    /// A host has a member lapse after this silence; the simulator makes it short.
    package var silenceMilliseconds = CoreLimits.silenceMilliseconds

    /// The sizes every node has.
    package static let standard = StoreLimits()

    /// Makes the standard sizes.
    package init() {}
}

/// Sizes of the pages and answers of a reconciliation.
package struct RepairLimits: Sendable, Hashable {
    /// Rows in one page of hashes; a receiver takes 4 096.
    package var hashesPage = 2_000
    /// The keys of one page of hashes, in bytes: the page ends with the key that reaches this.
    package var hashesPageKeyBytes = 1 << 20
    /// Rows of one answer; the client asks again for the rest.
    package var answerRowsMax = 4_096
    /// An answer ends with the page that reaches this many bytes.
    package var answerBytes = 4 << 20
    /// The ranges of one message; with more the table is compared by keys.
    package var rangesBytes = 64 << 10

    /// Makes the standard sizes.
    package init() {}
}
