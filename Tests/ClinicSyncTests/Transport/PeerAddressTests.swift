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

    @Test("only addresses of this PC are allowed, and the error says why")
    func loopback() throws {
        for text in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"] {
            #expect(try PeerAddress(loopback: text).isLoopback)
        }
        for text in ["0.0.0.0:1", "192.168.1.9:80", "[::]:1", "[fe80::1]:1", "128.0.0.1:1"] {
            let error = #expect(throws: ClinicSyncError.self) { try PeerAddress(loopback: text) }
            #expect(error?.code == .addressNotAllowed)
            #expect(error?.message.contains("not encrypted yet: use 127.0.0.1.") == true)
        }
    }
}
