import NIOSSL

/// TLS for one certificate of a node, made once: making it costs more than a handshake.
struct TLSContexts: Sendable {
    /// For accepted connections.
    let server: NIOSSLContext
    /// For dialled connections.
    let client: NIOSSLContext

    /// Makes both.
    ///
    /// - Parameters:
    ///   - key: the private key of the first certificate.
    ///   - certificates: the node's, then those up to, but without, the authority's; all in DER.
    ///   - authority: the authority's, in DER. It is shown too, so that a PC with a join code can check the pin.
    /// - Throws: What the TLS library says of them.
    init(key: SigningKey, certificates: [[UInt8]], authority: [UInt8]) throws {
        let root = try NIOSSLCertificate(bytes: authority, format: .der)
        let chain = try certificates.map {
            NIOSSLCertificateSource.certificate(try NIOSSLCertificate(bytes: $0, format: .der))
        }
        // With any other server configuration the callback that judges the peer is never called.
        var server = TLSConfiguration.makeServerConfigurationWithMTLS(
            certificateChain: chain + [.certificate(root)],
            privateKey: .privateKey(try key.tlsKey()),
            trustRoots: .certificates([root])
        )
        server.minimumTLSVersion = .tlsv13
        self.server = try NIOSSLContext(configuration: server)
        self.client = try TLSContexts.makeClient(key: key, chain: chain, roots: [root])
    }

    /// Makes TLS for dialling; whom it reaches is for the callback of the connection to judge.
    static func makeClient(
        key: SigningKey,
        chain: [NIOSSLCertificateSource],
        roots: [NIOSSLCertificate]
    ) throws -> NIOSSLContext {
        var client = TLSConfiguration.makeClientConfiguration()
        client.minimumTLSVersion = .tlsv13
        client.certificateVerification = .noHostnameVerification
        // Never the system's: no public authority has a say in a clinic.
        client.trustRoots = .certificates(roots)
        client.certificateChain = chain
        client.privateKey = .privateKey(try key.tlsKey())
        return try NIOSSLContext(configuration: client)
    }
}
