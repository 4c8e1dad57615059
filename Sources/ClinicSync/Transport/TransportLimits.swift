package import ClinicSyncWire
package import NIOCore

/// All limits of a node's connections with peers.
package struct TransportLimits: Sendable, Hashable {
    /// The limits of a decoded message.
    package var wire = WireLimits.standard
    /// The largest number of connections opened by peers, including connections before the upgrade; the node closes
    /// further connections without an answer.
    package var acceptedMax = 512
    /// The same limit for one remote address.
    ///
    /// One PC has one node; tests have many nodes on one address.
    package var acceptedPerAddressMax = 256
    /// The largest number of accepted sockets whose TLS handshake and upgrade are not finished.
    package var pendingMax = 256
    /// The same limit for one remote address.
    ///
    /// One PC dials only once at a time, but many PCs may share an address (behind a router, and in tests). All of them
    /// dial at once when their host returns; refused PCs try again. Four addresses are needed to fill `pendingMax`.
    package var pendingPerAddressMax = 64
    /// The bytes that a peer may send before its upgrade is complete, including TLS.
    ///
    /// Certificates and a request need 5 KiB.
    package var pendingBytesMax = 32 << 10
    /// The largest number of enrollments at once.
    ///
    /// Each enrollment waits until files are written.
    package var enrollmentsMax = 8
    /// The same limit for one remote address.
    ///
    /// A PC asks once, and once more when it believes that the first request is lost.
    package var enrollmentsPerAddressMax = 2
    /// The time from the upgrade of an enrollment connection to this node's answer.
    package var enrollmentTimeout = TimeAmount.seconds(10)
    /// The number of connections that the kernel completes before the node accepts them.
    package var backlog: Int32 = 512
    /// The time from accepting or dialling to the end of the WebSocket upgrade, including the TLS handshake.
    ///
    /// So a peer that sends one byte per second cannot keep a socket open.
    package var upgradeTimeout = TimeAmount.seconds(5)
    /// The time from this node's close frame to the peer's close frame.
    ///
    /// Then the node closes the socket without an answer.
    package var closeTimeout = TimeAmount.seconds(1)
    /// The largest number of posted and unconsumed messages of a connection.
    ///
    /// At this limit, the node reads nothing more. The node decodes all messages from one read of the socket, even
    /// beyond this limit.
    package var unconsumedMessagesMax = 64
    /// Work that one peer may cause in a second, in units of a small message; see ``WorkMeter``.
    ///
    /// Beyond the limit, the node reads the peer's messages later. A client sends some ten messages a second at rest, and
    /// some hundred while it writes.
    package var workPerSecond = 2_000.0
    /// Work that one peer may cause in a burst.
    package var workBurst = 8_000.0
    /// The largest number of bytes that wait for one peer.
    ///
    /// Beyond the limit, the node drops the connection. The node sends chunks only within the peer's credit. So only a
    /// faulty peer lets the queue grow to this size.
    package var outboundBytesMax = 32 << 20
    /// The smallest size of a fragment that is not the last of its message, so that tiny fragments cannot accumulate.
    package var fragmentBytesMin = 1_024
    /// Fragments of one message.
    package var fragmentsMax = 1_024

    /// Makes the buffers for what a socket reads at once.
    ///
    /// With larger ones, the TLS handler would keep a larger buffer for as long as the connection lasts.
    static let readAllocator = AdaptiveRecvByteBufferAllocator(
        minimum: 1 << 10,
        initial: 2 << 10,
        maximum: RecordHandler.recordBytesMax
    )

    /// Returns the limits of a message of at most `bytesMax` bytes.
    func message(bytesMax: Int) -> MessageLimits {
        MessageLimits(
            bytesMax: bytesMax,
            fragmentsMax: self.fragmentsMax,
            fragmentBytesMin: self.fragmentBytesMin
        )
    }

    /// Makes the standard limits.
    package init() {}
}
