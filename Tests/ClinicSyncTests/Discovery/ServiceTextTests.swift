import ClinicSyncModel
import Testing

@testable import ClinicSyncDiscovery

@Suite("What a node announces of itself")
struct ServiceTextTests {
    static let advertisement = Advertisement(
        clinicID: "k7q",
        node: NodeID(high: 1, low: 2),
        term: 7,
        isHost: true,
        port: 7450,
        reach: .ipv4,
        protocolVersion: 1,
        schemaVersion: 4
    )

    static func strings(_ changes: [String: String?] = [:], more: [String] = []) -> [[UInt8]] {
        var strings: [String] = []
        for (key, value) in ServiceText(Self.advertisement).pairs {
            if let change = changes[key] {
                if let change { strings.append("\(key)=\(change)") }
            } else {
                strings.append("\(key)=\(value)")
            }
        }
        return (strings + more).map { Array($0.utf8) }
    }

    @Test("it is read as it was written")
    func roundTrip() throws {
        let text = try #require(ServiceText(entries: Self.strings()))
        #expect(text == ServiceText(Self.advertisement))
        #expect(text.isHost)
        #expect(text.term == 7)
        #expect(try #require(ServiceText(entries: Self.strings(["role": "member"]))).isHost == false)
    }

    @Test("the record is the one that the documents describe, and has room to spare in its strings")
    func golden() {
        let lines = ServiceText(Self.advertisement).pairs.map { "\($0.key)=\($0.value)" }
        #expect(
            lines == [
                "clinic=3d1f461935ca8a22", "node=0000000000000g000000000002", "term=7", "role=host", "port=7450",
                "protocol=1", "schema=4",
            ]
        )
        #expect(lines.allSatisfy { $0.utf8.count <= 255 })
    }

    @Test("the clinic's id itself is not announced, and another clinic has another tag")
    func tag() {
        #expect(ServiceText.tag(ofClinic: "") == "cbf29ce484222325")
        #expect(ServiceText.tag(ofClinic: "a") == "af63dc4c8601ec8c")
        #expect(ServiceText.tag(ofClinic: "k7q") != ServiceText.tag(ofClinic: "k7r"))
        #expect(!ServiceText(Self.advertisement).pairs.contains { $0.value.contains("k7q") })
    }

    @Test("keys may be of either case, the first counts, and what a later version adds is ignored")
    func lenient() throws {
        let upper = Self.strings().map { string in
            let equals = string.firstIndex(of: UInt8(ascii: "=")) ?? 0
            return Array(String(decoding: string[..<equals], as: UTF8.self).uppercased().utf8) + string[equals...]
        }
        #expect(ServiceText(entries: upper) == ServiceText(Self.advertisement))
        let more = Self.strings(more: ["term=8", "colour=blue", "flag", "=", ""])
        #expect(ServiceText(entries: more + [[0xFF, 0xFE]]) == ServiceText(Self.advertisement))
    }

    @Test(
        "what is no announcement of a node is refused",
        arguments: [
            ("node", "x"), ("node", nil), ("clinic", nil), ("term", "-1"), ("term", "18446744073709551616"),
            ("term", nil), ("role", nil), ("port", "0"), ("port", "65536"), ("port", "7450 "), ("protocol", "-1"),
            ("schema", "four"),
        ] as [(String, String?)]
    )
    func malformed(key: String, value: String?) {
        #expect(ServiceText(entries: Self.strings([key: value])) == nil)
    }

    @Test("no more of a huge record than its beginning is looked at")
    func huge() {
        let junk = [[UInt8]](repeating: Array("junk=1".utf8), count: ServiceText.entriesMax)
        #expect(ServiceText(entries: junk + Self.strings()) == nil)
        #expect(ServiceText(entries: []) == nil)
    }
}

@Suite("Addresses of services")
struct ServiceAddressTests {
    @Test(
        "they are written so that they can be dialled",
        arguments: [
            ("192.168.1.10", "192.168.1.10:7450"), ("fd00::1", "[fd00::1]:7450"), ("fe80::1", "[fe80::1%eth0]:7450"),
            ("FEBF::1", "[FEBF::1%eth0]:7450"), ("fec0::1", "[fec0::1]:7450"), ("::2", "[::2]:7450"),
        ]
    )
    func forms(ip: String, text: String) {
        #expect(ServiceAddress(ip: ip, interface: "eth0", port: 7450, isLocal: false)?.text == text)
    }

    @Test("what cannot be dialled from here is none")
    func none() {
        for ip in ["127.0.0.1", "::1", "0.0.0.0", "::", ""] {
            #expect(ServiceAddress(ip: ip, interface: "eth0", port: 7450, isLocal: false) == nil)
        }
        #expect(ServiceAddress(ip: "10.0.0.1", interface: "eth0", port: 0, isLocal: false) == nil)
        #expect(ServiceAddress(ip: "10.0.0.1", interface: "eth0", port: 65_536, isLocal: false) == nil)
        #expect(ServiceAddress(ip: "fe80::1", interface: nil, port: 7450, isLocal: false) == nil)
        #expect(ServiceAddress(ip: "10.0.0.1", interface: nil, port: 7450, isLocal: false) != nil)
    }

    @Test("loopback is an address for other nodes of this very PC")
    func local() {
        #expect(ServiceAddress(ip: "127.0.0.1", interface: "lo", port: 1, isLocal: true)?.text == "127.0.0.1:1")
        #expect(ServiceAddress(ip: "::1", interface: "lo", port: 1, isLocal: true)?.text == "[::1]:1")
    }

    @Test("IPv4 is tried first, link-local IPv6 last")
    func order() {
        let addresses = ["fe80::1", "fd00::1", "10.0.0.2", "10.0.0.1"].compactMap {
            ServiceAddress(ip: $0, interface: "eth0", port: 1, isLocal: false)
        }
        #expect(addresses.sorted().map(\.text) == ["10.0.0.1:1", "10.0.0.2:1", "[fd00::1]:1", "[fe80::1%eth0]:1"])
    }
}
