import NIOCore
import Testing

@testable import ClinicSync

@Suite("Addresses of peers")
struct PeerAddressTests {
    @Test(
        "an address is an IP address and a port",
        arguments: [
            ("127.0.0.1:7443", "127.0.0.1:7443"), ("localhost:1", "127.0.0.1:1"), ("[::1]:65535", "[::1]:65535"),
            ("127.3.2.1:0", "127.3.2.1:0"), ("192.168.1.9:80", "192.168.1.9:80"),
        ]
    )
    func wellFormed(text: String, canonical: String) throws {
        #expect(try PeerAddress(text).description == canonical)
    }

    @Test(
        "anything else is malformed",
        arguments: [
            "", ":", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
            "127.0.0.1:٣", "::1:80", "[::1]", "[127.0.0.1]:80", "[::1:80", "host:80", "127.0.0.1 :80", "127.1:80",
            "127.0.0.1:80 ", "127.0.0.1.evil.example:80",
        ]
    )
    func malformed(text: String) {
        #expect(throws: ClinicSyncError(.malformedAddress, "")) { try PeerAddress(text) }
    }

    @Test("a link-local address names its interface, which the request does not")
    func scoped() throws {
        let address = try PeerAddress("[fe80::1%lo]:7443")
        #expect(address.description == "[fe80::1%lo]:7443")
        #expect(address.hostHeader == "[fe80::1]:7443")
        #expect(LocalNetwork.contains(try address.socketAddress()))
        #expect(throws: ClinicSyncError(.malformedAddress, "")) { try PeerAddress("[fe80::1%]:7443") }
    }

    @Test(
        "what is of the local network",
        arguments: [
            "127.0.0.0", "127.255.255.255", "10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0",
            "192.168.255.255", "169.254.0.0", "169.254.255.255", "::1", "fe80::", "febf:ffff::1", "fc00::",
            "fdff:ffff::1", "::ffff:10.1.2.3", "::ffff:192.168.0.1", "::ffff:127.0.0.1",
        ]
    )
    func local(host: String) throws {
        #expect(LocalNetwork.contains(try SocketAddress(ipAddress: host, port: 1)))
    }

    @Test(
        "what is not",
        arguments: [
            "126.255.255.255", "128.0.0.0", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0",
            "192.167.255.255", "192.169.0.0", "169.253.255.255", "169.255.0.0", "0.0.0.0", "255.255.255.255",
            "100.64.0.1", "203.0.113.7", "::", "::2", "1::1", "fe7f:ffff::1", "fec0::", "fbff:ffff::1", "fe00::",
            "2001:db8::1", "::ffff:11.0.0.1", "::ffff:8.8.8.8", "::10.0.0.1", "ff02::1",
        ]
    )
    func foreign(host: String) throws {
        #expect(!LocalNetwork.contains(try SocketAddress(ipAddress: host, port: 1)))
    }

    @Test("only addresses of the local network are dialled, and the error says so")
    func lanOnly() throws {
        for text in ["192.0.2.1:1", "[2001:db8::1]:1", "0.0.0.0:1"] {
            let address = try PeerAddress(text)
            let error = #expect(throws: ClinicSyncError.self) { try address.socketAddress(isLANOnly: true) }
            #expect(error?.code == .addressNotAllowed)
            #expect(error?.message.contains("use an address of the clinic's own network.") == true)
            _ = try address.socketAddress(isLANOnly: false)
        }
        _ = try PeerAddress("192.168.1.1:1").socketAddress(isLANOnly: true)
        _ = try PeerAddress("0.0.0.0:1").listenAddress(isLANOnly: true)
        _ = try PeerAddress("[::]:1").listenAddress(isLANOnly: true)
        #expect(throws: ClinicSyncError.self) { try PeerAddress("192.0.2.1:1").listenAddress(isLANOnly: true) }
    }
}
