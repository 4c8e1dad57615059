import NIOSSL

/// The TLS contexts for one certificate of a node, made once because making them costs more than a handshake.
struct TLSContexts: Sendable {
    /// For accepted connections.
    let server: NIOSSLContext
    /// For dialled connections.
    let client: NIOSSLContext

    /// Makes both contexts.
    ///
    /// - Parameters:
    ///   - key: the private key of the first certificate.
    ///   - certificates: the node's, then its signers' without the authority's; all in DER.
    ///   - authority: the authority's, in DER. The node also shows this certificate, so that a PC with a join code can
    ///     check the pin.
    /// - Throws: The TLS library's error.
    init(key: SigningKey, certificates: [[UInt8]], authority: [UInt8]) throws {
        let root = try NIOSSLCertificate(bytes: authority, format: .der)
        let chain = try certificates.map {
            NIOSSLCertificateSource.certificate(try NIOSSLCertificate(bytes: $0, format: .der))
        }
        // With any other server configuration, TLS never calls the callback that judges the peer.
        var server = TLSConfiguration.makeServerConfigurationWithMTLS(
            certificateChain: chain + [.certificate(root)],
            privateKey: .privateKey(try key.tlsKey()),
            trustRoots: .certificates([root])
        )
        server.minimumTLSVersion = .tlsv13
        self.server = try NIOSSLContext(configuration: server)
        self.client = try TLSContexts.makeClient(key: key, chain: chain, roots: [root])
    }

    /// Makes TLS for dialling.
    ///
    /// The callback of the connection judges the peer.
    static func makeClient(
        key: SigningKey,
        chain: [NIOSSLCertificateSource],
        roots: [NIOSSLCertificate]
    ) throws -> NIOSSLContext {
        var client = TLSConfiguration.makeClientConfiguration()
        client.minimumTLSVersion = .tlsv13
        client.certificateVerification = .noHostnameVerification
        // Never use the system's roots: a public authority has no trust in a clinic.
        client.trustRoots = .certificates(roots)
        client.certificateChain = chain
        client.privateKey = .privateKey(try key.tlsKey())
        return try NIOSSLContext(configuration: client)
    }
}
