import NIOCore

/// Where a node listens or is dialled: an IP address and a port.
///
/// Written `192.168.1.10:7443`, `[::1]:7443` or, with the interface that a link-local address needs,
/// `[fe80::1%eth0]:7443`; `localhost` stands for 127.0.0.1. Other names are not resolved: which
/// address a name means is not the clinic's to say on every network.
struct PeerAddress: Sendable, Hashable, CustomStringConvertible {
    /// The IP address, without brackets.
    let host: String
    /// The port; 0 lets the system choose one to listen on.
    let port: Int

    /// Reads `text`.
    ///
    /// - Throws: ``ClinicSyncError`` of code `malformedAddress`.
    init(_ text: String) throws(ClinicSyncError) {
        guard let (host, port) = PeerAddress.split(text) else { throw PeerAddress.malformed(text) }
        let address = host == "localhost" ? "127.0.0.1" : host
        guard PeerAddress.isIPAddress(address, bracketed: text.hasPrefix("[")) else {
            throw PeerAddress.malformed(text)
        }
        self.host = address
        self.port = port
    }

    /// The same host with the port the system chose.
    init(_ address: PeerAddress, port: Int) {
        self.host = address.host
        self.port = port
    }

    /// The text form that ``init(_:)`` reads.
    var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }

    /// The form that sockets take.
    ///
    /// - Throws: What the system says of an address that this type let through.
    func socketAddress() throws -> SocketAddress {
        try SocketAddress(ipAddress: self.host, port: self.port)
    }

    /// The form that sockets take, of an address that may be dialled.
    ///
    /// - Parameter isLANOnly: Whether only addresses of the local network may.
    /// - Returns: The address.
    /// - Throws: ``ClinicSyncError`` of code `addressNotAllowed`, or what the system says.
    func socketAddress(isLANOnly: Bool) throws -> SocketAddress {
        let address = try self.socketAddress()
        guard !isLANOnly || LocalNetwork.contains(address) else { throw self.outside() }
        return address
    }

    /// The form that sockets take, of an address to listen on: 0.0.0.0 and :: may be, as whoever connects from
    /// outside is refused then.
    ///
    /// - Parameter isLANOnly: Whether only addresses of the local network may.
    /// - Returns: The address.
    /// - Throws: ``ClinicSyncError`` of code `addressNotAllowed`, or what the system says.
    func listenAddress(isLANOnly: Bool) throws -> SocketAddress {
        let address = try self.socketAddress()
        return LocalNetwork.isUnspecified(address) ? address : try self.socketAddress(isLANOnly: isLANOnly)
    }

    /// What an HTTP request names: without the interface, which means nothing to the other side (RFC 6874, 1).
    var hostHeader: String {
        let host = String(self.host.prefix { $0 != "%" })
        return host.contains(":") ? "[\(host)]:\(self.port)" : "\(host):\(self.port)"
    }

    private func outside() -> ClinicSyncError {
        ClinicSyncError(
            .addressNotAllowed,
            "The address \(self) is outside the local network, and nodes talk within it only: "
                + "use an address of the clinic's own network."
        )
    }

    /// Splits at the last colon, so that an IPv6 address keeps its own within the brackets.
    private static func split(_ text: String) -> (host: String, port: Int)? {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        var host = text[..<colon]
        let digits = text[text.index(after: colon)...]
        guard
            !digits.isEmpty, digits.count <= 5, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = UInt16(digits)
        else { return nil }
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return host.isEmpty ? nil : (String(host), Int(port))
    }

    private static func isIPAddress(_ host: String, bracketed: Bool) -> Bool {
        do {
            let address = try SocketAddress(ipAddress: host, port: 0)
            return (address.protocol == .inet6) == bracketed
        } catch {
            return false
        }
    }

    private static func malformed(_ text: String) -> ClinicSyncError {
        // A peer can have sent the text, so it is shown in part only.
        ClinicSyncError(
            .malformedAddress,
            "“\(text.prefix(80))” is no address: write IP-ADDRESS:PORT, for example 127.0.0.1:7443 or [::1]:7443."
        )
    }
}
