import NIOCore

/// Where a node listens or is dialled: an IP address and a port.
///
/// Written `192.168.1.10:7443`, `[::1]:7443` or, with the interface that a link-local address needs,
/// `[fe80::1%eth0]:7443`; `localhost` stands for 127.0.0.1. Other names are not resolved, because the clinic does not
/// control what a name means on every network.
struct PeerAddress: Sendable, Hashable, CustomStringConvertible {
    private let address: NetworkAddress

    /// Reads `text`.
    ///
    /// - Throws: ``ClinicSyncError`` of code `malformedAddress`.
    init(_ text: String) throws(ClinicSyncError) {
        guard let named = NetworkAddress(text) else { throw PeerAddress.malformed(text) }
        let address = named.host == "localhost" ? NetworkAddress(host: "127.0.0.1", port: named.port) : named
        guard PeerAddress.isIPAddress(address.host) else { throw PeerAddress.malformed(text) }
        self.address = address
    }

    /// Returns the same host with the port that the system chose.
    init(_ address: PeerAddress, port: Int) {
        self.address = NetworkAddress(host: address.address.host, port: port)
    }

    /// The text form that ``init(_:)`` reads.
    var description: String { self.address.description }

    /// The form that sockets accept.
    ///
    /// - Throws: The system's error for an address that this type accepted.
    func socketAddress() throws -> SocketAddress {
        try SocketAddress(ipAddress: self.address.host, port: self.address.port)
    }

    /// The form that sockets accept, for an address that the node may dial.
    ///
    /// - Parameter isLANOnly: Whether the node may dial only addresses of the local network.
    /// - Returns: The address.
    /// - Throws: ``ClinicSyncError`` of code `addressNotAllowed`, or the system's error.
    func socketAddress(isLANOnly: Bool) throws -> SocketAddress {
        let address = try self.socketAddress()
        guard !isLANOnly || LocalNetwork.contains(address) else { throw self.outside() }
        return address
    }

    /// The form that sockets accept, for an address to listen on.
    ///
    /// 0.0.0.0 and :: are allowed, because the node refuses peers from outside the local network when they connect.
    ///
    /// - Parameter isLANOnly: Whether the node may listen only on addresses of the local network.
    /// - Returns: The address.
    /// - Throws: ``ClinicSyncError`` of code `addressNotAllowed`, or the system's error.
    func listenAddress(isLANOnly: Bool) throws -> SocketAddress {
        let address = try self.socketAddress()
        return LocalNetwork.isUnspecified(address) ? address : try self.socketAddress(isLANOnly: isLANOnly)
    }

    /// The address in an HTTP request: without the interface, which has no meaning for the other side (RFC 6874, 1).
    var hostHeader: String {
        let host = self.address.host.prefix { $0 != "%" }
        return NetworkAddress(host: String(host), port: self.address.port).description
    }

    private func outside() -> ClinicSyncError {
        ClinicSyncError(
            .addressNotAllowed,
            "The address \(self) is outside the local network, and nodes talk within it only: "
                + "use an address of the clinic's own network."
        )
    }

    private static func isIPAddress(_ host: String) -> Bool {
        do {
            _ = try SocketAddress(ipAddress: host, port: 0)
            return true
        } catch {
            return false
        }
    }

    private static func malformed(_ text: String) -> ClinicSyncError {
        // A peer may have sent the text, so the message shows only a part of it.
        ClinicSyncError(
            .malformedAddress,
            "“\(text.prefix(80))” is no address: write IP-ADDRESS:PORT, for example 127.0.0.1:7443 or [::1]:7443."
        )
    }
}
