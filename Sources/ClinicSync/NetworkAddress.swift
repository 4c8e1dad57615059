/// An address and a port, as people write them: `192.168.1.10:7450`, `[::1]:7450`, `localhost:7450`.
public struct NetworkAddress: Sendable, Hashable, CustomStringConvertible {
    /// The IP address or name, without brackets.
    public let host: String
    /// The port; 0 picks a free one.
    public let port: Int

    /// Makes an address of its parts.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `ADDRESS:PORT`; IPv6 addresses stand in brackets.
    ///
    /// - Throws: ``ClinicSyncError`` of code `malformedAddress`, naming the text.
    public init(parsing text: String) throws {
        guard let address = NetworkAddress(text) else {
            throw ClinicSyncError(
                .malformedAddress,
                "\"\(text)\" is not an address: write it as ADDRESS:PORT, for example 127.0.0.1:7450."
            )
        }
        self = address
    }

    /// Reads `ADDRESS:PORT`; `nil` for anything else.
    ///
    /// Splits at the last colon, so that an IPv6 address keeps its own.
    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) }),
            let port = UInt16(digits)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
        } else {
            guard !host.contains(":") else { return nil }
        }
        let allowed = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: "%"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        guard !host.isEmpty, host.utf8.count <= 253, allowed else { return nil }
        self.init(host: String(host), port: Int(port))
    }

    /// The text form, with brackets around IPv6 addresses.
    public var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }

    /// Whether the address names this PC's loopback interface and nothing else.
    public var isLoopback: Bool { NetworkAddress.isLoopback(host: self.host) }

    /// Whether `host`, without brackets and port, names the loopback interface.
    public static func isLoopback(host: String) -> Bool {
        let lowered = host.lowercased()
        if lowered == "localhost" || lowered == "::1" { return true }
        let parts = lowered.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "127" else { return false }
        return parts.allSatisfy { UInt8($0) != nil }
    }
}
