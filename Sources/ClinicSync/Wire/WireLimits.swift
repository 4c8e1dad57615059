/// Every size a received message may have.
///
/// A peer is believed nothing: a message beyond a limit is refused before it is taken apart, so that what a message
/// can make its receiver allocate is a small multiple of its own bytes.
package struct WireLimits: Sendable, Hashable {
    /// One whole message: the largest payload with what surrounds it, and room for one very large row.
    package var messageBytesMax = 16 << 20
    /// A message other than chunks, row hashes and row states: those hold no rows, so they are small.
    package var controlMessageBytesMax = 1 << 20
    /// A chunk's payload: 256 KiB normally, more only when one row alone is larger.
    package var chunkPayloadBytesMax = 8 << 20
    /// The payload of a page of row states: as a chunk's.
    package var rowStatesPayloadBytesMax = 8 << 20
    /// Entries of one vector: origins a clinic has ever had, replaced PCs included.
    package var vectorEntriesMax = 4_096
    /// Batches that have arrived in part: one for each origin at most.
    package var partialsMax = 4_096
    /// A name, version, address or clinic id, in bytes of UTF-8.
    package var nameBytesMax = 256
    /// A certificate, or a request for one, in DER; ours have about 600 bytes.
    package var certificateBytesMax = 4_096
    /// Certificates of a chain: a node's and its signer's, with room.
    package var certificatesMax = 4
    /// A signed revocation: 16 bytes for each member it vouches for, and a chain.
    package var revocationBytesMax = 32 << 10
    /// Revocations a new member is told of; it learns of more with its first sync.
    package var revocationsMax = 64
    /// Addresses of a host: interfaces of a PC.
    package var addressesMax = 8
    /// A request for a certificate with all that proves it.
    package var enrollmentRequestBytesMax = 16 << 10
    /// An answer to it, which carries revocations.
    package var enrollmentReplyBytesMax = 4 << 20
    /// A report of the host: sixteen addresses and four candidacies at most.
    package var reportBytesMax = 8 << 10
    /// A login, and the answer to it with the sessions in the way.
    package var loginBytesMax = 16 << 10
    /// Tables of one report: thirteen now, and migrations to come.
    package var tablesMax = 256
    /// Row hashes of one page: senders stop at 2 000.
    package var rowHashesMax = 4_096
    /// Keys a page of row states asks for: as many as a page of hashes can name.
    package var wantedKeysMax = 4_096
    /// The text or blob of one primary key: keys are short ids.
    package var keyBytesMax = 4_096
    /// Nodes of one sync report: connections a host can have, with room.
    package var nodesMax = 1_024

    /// The limits every node keeps.
    package static let standard = WireLimits()

    /// Makes the standard limits.
    package init() {}
}
