package import ClinicSyncWire
package import NIOCore

/// All limits of a node's connections with peers.
package struct TransportLimits: Sendable, Hashable {
    /// The limits of a decoded message.
    package var wire = WireLimits.standard
    /// Connections at once that peers opened, those not yet upgraded included; more are closed unanswered.
    package var acceptedMax = 512
    /// The same for one remote address: one PC has one node, tests have many.
    package var acceptedPerAddressMax = 256
    /// Accepted sockets at once whose peers have not finished TLS handshake and upgrade.
    package var pendingMax = 256
    /// The same for one remote address.
    ///
    /// One PC dials once at a time, but many may share an address (behind a router, and in tests), and all of them dial
    /// at once when their host comes back; those turned away try again. Four addresses are needed to fill `pendingMax`.
    package var pendingPerAddressMax = 64
    /// Bytes a peer may send before its upgrade is complete, TLS included; certificates and a request need 5 KiB.
    package var pendingBytesMax = 32 << 10
    /// Enrollments at once: each waits for files to be written.
    package var enrollmentsMax = 8
    /// The same for one remote address: a PC asks once, and once more when it believes the first one lost.
    package var enrollmentsPerAddressMax = 2
    /// From the upgrade of an enrollment connection to our answer.
    package var enrollmentTimeout = TimeAmount.seconds(10)
    /// Connections the kernel completes before they are accepted.
    package var backlog: Int32 = 512
    /// From accepting or dialling to the end of the WebSocket upgrade, TLS handshake included.
    ///
    /// So a peer that sends a byte a second holds no socket.
    package var upgradeTimeout = TimeAmount.seconds(5)
    /// From our close frame to the peer's; then the socket is closed without.
    package var closeTimeout = TimeAmount.seconds(1)
    /// Messages of a connection that were posted and are not consumed; at so many, nothing more is read.
    ///
    /// Messages that one read of the socket brings are decoded even beyond this limit.
    package var unconsumedMessagesMax = 64
    /// Bytes that wait to be sent to one peer; beyond it the connection is dropped.
    ///
    /// Chunks are sent against credit, so only a broken peer lets so much pile up.
    package var outboundBytesMax = 32 << 20
    /// A fragment that is not a message's last is at least so large, so that tiny ones cannot pile up.
    package var fragmentBytesMin = 1_024
    /// Fragments of one message.
    package var fragmentsMax = 1_024

    /// The limits of a message of at most `bytesMax` bytes.
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
