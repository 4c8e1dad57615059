/// The limits of every size in a received message.
///
/// The receiver does not trust a peer: it refuses a message beyond a limit before it parses the message. So the memory
/// that the receiver allocates for a message is a small multiple of the message's size.
package struct WireLimits: Sendable, Hashable {
    /// One whole message: the largest payload with its envelope, and room for one very large row.
    package var messageBytesMax = 16 << 20
    /// A message other than chunks, row hashes and row states.
    ///
    /// Such messages contain no rows, so they are small.
    package var controlMessageBytesMax = 1 << 20
    /// A chunk's payload: normally 256 KiB, and more only when a single row is larger.
    package var chunkPayloadBytesMax = 8 << 20
    /// The payload of a page of row states, with the same limit as a chunk's payload.
    package var rowStatesPayloadBytesMax = 8 << 20
    /// Entries of one vector: all origins that a clinic has ever had, including replaced PCs.
    package var vectorEntriesMax = 4_096
    /// Partial batches: at most one for each origin.
    package var partialsMax = 4_096
    /// A name, version, address or clinic id, in bytes of UTF-8.
    package var nameBytesMax = 256
    /// A certificate, or a certificate request, in DER.
    ///
    /// This program's certificates have about 600 bytes.
    package var certificateBytesMax = 4_096
    /// Certificates of a chain: a node's and its signer's, with a reserve.
    package var certificatesMax = 4
    /// A signed revocation: 16 bytes for each vouched member, and a chain.
    package var revocationBytesMax = 32 << 10
    /// Revocations in the answer to a new member, which receives others with its first sync.
    package var revocationsMax = 64
    /// Addresses of a host, from the interfaces of its PC.
    package var addressesMax = 8
    /// A request for a certificate with all its proofs.
    package var enrollmentRequestBytesMax = 16 << 10
    /// An answer to an enrollment request, which contains revocations.
    package var enrollmentReplyBytesMax = 4 << 20
    /// A report about the host: at most sixteen addresses and four candidacies.
    package var reportBytesMax = 8 << 10
    /// A login, and its answer with the sessions that block the login.
    package var loginBytesMax = 16 << 10
    /// Tables of one report: thirteen now, and more after later migrations.
    package var tablesMax = 256
    /// Row hashes of one page.
    ///
    /// Senders stop at 2 000.
    package var rowHashesMax = 4_096
    /// Keys that a page of row states requests, and states that a client requests: as many as a page of hashes can name.
    package var wantedKeysMax = 4_096
    /// The ranges of one message of a reconciliation.
    ///
    /// Senders stop at 64 KiB, with the range that reaches this.
    package var rangesBytesMax = 512 << 10
    /// Lost batches that one acknowledgement requests.
    package var wantedBatchesMax = 16
    /// Nodes whose proof of membership one acknowledgement requests.
    package var unprovenNodesMax = 16
    /// The text or blob of one primary key.
    ///
    /// Keys are short ids.
    package var keyBytesMax = 4_096
    /// Nodes of one sync report: the connections that a host can have, with a reserve.
    package var nodesMax = 1_024

    /// The limits that every node applies.
    package static let standard = WireLimits()

    /// Makes the standard limits.
    package init() {}
}
