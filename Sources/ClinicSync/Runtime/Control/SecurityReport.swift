/// Says what people should know of the node's certificate, rights and refusals.
struct SecurityReport {
    let directory: NodeDirectory
    let trust: TrustStore
    let exchange: TrustExchange
    let transport: PeerTransport

    /// Returns the facts as they are now.
    ///
    /// - Throws: ``ClinicSyncError`` when the permissions of the node's files cannot be read.
    func facts() throws -> NodeStatus.Security {
        NodeStatus.Security(
            certificateExpires: UTCTimestamp(milliseconds: self.trust.certificateExpiresAt),
            maySign: self.trust.maySign,
            refusedConnections: self.transport.refusedConnections,
            revokedNodes: self.trust.knownRevocations.count,
            warnings: try self.directory.permissionWarnings(),
            unsignedRows: self.exchange.unsignedRows
        )
    }
}
