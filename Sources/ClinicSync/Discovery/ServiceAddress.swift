/// An address of a resolved service, in a form that can be dialled.
struct ServiceAddress: Sendable, Hashable, Comparable {
    /// The quality of an address for dialling, best first.
    private enum Kind: Int, Sendable, Hashable {
        case ipv4
        case ipv6
        case linkLocal
    }

    /// `ip:port`, `[v6]:port` or `[fe80::1%eth0]:port`.
    let text: String
    private let kind: Kind

    /// Makes the form to dial; `nil` when the address cannot be dialled.
    ///
    /// - Parameters:
    ///   - ip: the address as text.
    ///   - interface: the name of the interface on which it was found; `nil` when the interface is gone.
    ///   - port: the port.
    ///   - isLocal: whether this PC announces the service.
    init?(ip: String, interface: String?, port: Int, isLocal: Bool) {
        guard (1...65_535).contains(port), ip != "0.0.0.0", ip != "::", !ip.isEmpty else { return nil }
        // A loopback address of another PC does not reach that PC.
        guard isLocal || !(ip.hasPrefix("127.") || ip == "::1") else { return nil }
        guard ip.contains(":") else {
            self.kind = .ipv4
            self.text = "\(ip):\(port)"
            return
        }
        guard ServiceAddress.isLinkLocal(ip) else {
            self.kind = .ipv6
            self.text = "[\(ip)]:\(port)"
            return
        }
        // A link-local address is meaningless without the interface (RFC 4007, section 6).
        guard let interface, !interface.isEmpty else { return nil }
        self.kind = .linkLocal
        self.text = "[\(ip)%\(interface)]:\(port)"
    }

    /// Orders addresses by preference for dialling.
    static func < (left: ServiceAddress, right: ServiceAddress) -> Bool {
        (left.kind.rawValue, left.text) < (right.kind.rawValue, right.text)
    }

    /// Returns whether a text is an address in fe80::/10.
    private static func isLinkLocal(_ ip: String) -> Bool {
        guard let first = ip.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).first,
            let group = UInt16(first, radix: 16)
        else { return false }
        return group & 0xFFC0 == 0xFE80
    }
}
