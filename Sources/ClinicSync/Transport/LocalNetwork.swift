import Glibc
import NIOCore

/// Tells which addresses belong to a clinic's own network.
enum LocalNetwork {
    /// Returns whether `address` is loopback, private, link-local or unique local; all other addresses belong to the
    /// Internet.
    ///
    /// RFC 1122 (127/8), RFC 1918 (10/8, 172.16/12, 192.168/16), RFC 3927 (169.254/16), RFC 4291 (::1, fe80::/10),
    /// RFC 4193 (fc00::/7); an IPv4 address in IPv6 form is judged as the IPv4 address it is.
    static func contains(_ address: SocketAddress) -> Bool {
        guard let bytes = LocalNetwork.bytes(of: address) else { return false }
        return bytes.count == 4 ? LocalNetwork.containsIPv4(bytes) : LocalNetwork.containsIPv6(bytes)
    }

    /// Returns whether `address` is 0.0.0.0 or ::, which mean all addresses of this PC for a listener.
    static func isUnspecified(_ address: SocketAddress) -> Bool {
        LocalNetwork.bytes(of: address)?.allSatisfy { $0 == 0 } ?? false
    }

    /// The 4 or 16 bytes of an IP address, most significant first.
    private static func bytes(of address: SocketAddress) -> [UInt8]? {
        guard let text = address.ipAddress else { return nil }
        let isIPv6 = address.protocol == .inet6
        var bytes = [UInt8](repeating: 0, count: isIPv6 ? 16 : 4)
        // The system made this text from the socket's address.
        return inet_pton(isIPv6 ? AF_INET6 : AF_INET, text, &bytes) == 1 ? bytes : nil
    }

    private static func containsIPv4(_ bytes: [UInt8]) -> Bool {
        switch (bytes[0], bytes[1]) {
        case (127, _), (10, _), (172, 16...31), (192, 168), (169, 254): true
        default: false
        }
    }

    private static func containsIPv6(_ bytes: [UInt8]) -> Bool {
        let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        if isMapped { return LocalNetwork.containsIPv4(Array(bytes[12...])) }
        if bytes[..<15].allSatisfy({ $0 == 0 }) { return bytes[15] == 1 }
        return (bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80) || bytes[0] & 0xFE == 0xFC
    }
}
