package import ClinicSyncModel
package import NIOSSL

/// Judges the certificates of peers.
///
/// A transport asks the authenticator before it reads any message of a peer.
///
/// Every method may be called from any thread, and none blocks.
package protocol PeerAuthenticator: Sendable {
    /// TLS for accepted connections, with this node's present certificate; made once for each certificate.
    var serverContext: NIOSSLContext { get }
    /// TLS for dialled connections.
    var clientContext: NIOSSLContext { get }

    /// Judges the certificates a peer showed in the handshake, its own first.
    func judge(_ chain: [NIOSSLCertificate]) async -> PeerStanding

    /// Judges an established peer again, because revocations arrive and certificates expire during a connection.
    func review(_ credential: PeerCredential) -> PeerStanding
}

/// A peer that requests an enrollment, as proven by its connection.
package struct EnrollmentPeer: Sendable, Hashable {
    /// The standing that the peer's certificate proves.
    package var standing: PeerStanding
    /// Its certificate in DER.
    package var certificate: [UInt8]
    /// The remote IP address of the socket.
    package var address: String

    /// Makes a peer.
    package init(standing: PeerStanding, certificate: [UInt8], address: String) {
        self.standing = standing
        self.certificate = certificate
        self.address = address
    }
}

/// Signs certificates for other nodes: answers enrollments.
package protocol EnrollmentService: Sendable {
    /// A fresh challenge for one connection.
    func makeChallenge() -> EnrollmentChallenge

    /// Answers a request. Writes files, so it may block: never call it on an event loop.
    func answer(
        _ request: EnrollmentRequest,
        to challenge: EnrollmentChallenge,
        from peer: EnrollmentPeer
    ) -> EnrollmentReply
}
