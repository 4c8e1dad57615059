/// What a hostile member does to a message that it should send, or sends besides.
package enum MutationKind: String, Sendable, Hashable, CaseIterable {
    /// A number becomes an extreme one, or another by one.
    case number
    /// One of several packed numbers changes, or their count does.
    case numbers
    /// Text or bytes become empty, long, or other ones.
    case bytes
    /// A bit of the frame flips, whatever it means.
    case flip
    /// A field is missing.
    case remove
    /// A field is there twice.
    case duplicate
    /// A field is there hundreds or thousands of times.
    case many
    /// The fields of a message are in another order.
    case reorder
    /// A field that no version knows.
    case unknown
    /// The id of a node becomes that of another member, or of nobody.
    case node
    /// A chunk's content changes, and its checksum with it.
    case payload
    /// A chunk has the content of another chunk.
    case swap
    /// A chunk's content is garbage, up to hundreds of kilobytes.
    case garbage
    /// Small batches of authors that nobody has met, up to thousands.
    case authors
    /// A chunk is the last one of its batch, or is no longer.
    case last
    /// Earlier messages once more.
    case replay
    /// A message of another kind, at a time at which no honest node sends it.
    case untimely
    /// A message hundreds of times.
    case storm
    /// A message is kept back.
    case withhold
    /// Bytes that are no message.
    case noise
}
