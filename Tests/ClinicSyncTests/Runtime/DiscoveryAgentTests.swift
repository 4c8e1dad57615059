import ClinicSyncCore
import ClinicSyncDiscovery
import ClinicSyncModel
import Logging
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSync

/// The announcement of the tests.
enum ServiceAdvertisement {
    static let sample = Advertisement(
        clinicID: "k7q",
        node: NodeID(high: 1, low: 1),
        term: 0,
        isHost: false,
        port: 7450,
        reach: .ipv4,
        protocolVersion: 1,
        schemaVersion: 4
    )
}

@Suite("The discovery of a running node", .timeLimit(.minutes(1)))
struct DiscoveryAgentTests {
    private static let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    @Test("addresses that are found go to the core with the node that is said to be there")
    func found() async throws {
        let peer = NodeID(high: 0, low: 5)
        let discovery = ScriptedDiscovery([
            .unavailable("later"), .available, .lost(peer), .renamed("x"),
            .found(DiscoveredPeer(node: peer, addresses: ["10.0.0.5:1", "[fe80::5%eth0]:1"], term: 3, isHost: true)),
        ])
        let (hints, hint) = AsyncStream.makeStream(of: [PeerHint].self, bufferingPolicy: .bufferingOldest(8))
        let agent = DiscoveryAgent(discovery, advertisement: nil, isRequired: true, logger: Self.logger) {
            hint.yield($0)
        }
        await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await agent.run() }
            var first: [PeerHint]?
            for await given in hints {
                first = given
                break
            }
            tasks.cancelAll()
            #expect(
                first
                    == ["10.0.0.5:1", "[fe80::5%eth0]:1"].map {
                        PeerHint(address: $0, node: peer, source: .discovered)
                    }
            )
        }
    }

    @Test("a change of term or role is announced, no change is not")
    func advertise() {
        let discovery = ScriptedDiscovery([])
        let agent = DiscoveryAgent(
            discovery,
            advertisement: ServiceAdvertisement.sample,
            isRequired: false,
            logger: Self.logger
        ) { _ in }
        agent.advertise(term: 0, isHost: false)
        agent.advertise(term: 1, isHost: false)
        agent.advertise(term: 1, isHost: true)
        agent.advertise(term: 1, isHost: true)
        #expect(discovery.updates.map(\.term) == [1, 1])
        #expect(discovery.updates.map(\.isHost) == [false, true])
    }

    @Test("a node that is not announced stays so")
    func silent() {
        let discovery = ScriptedDiscovery([])
        let agent = DiscoveryAgent(discovery, advertisement: nil, isRequired: false, logger: Self.logger) { _ in }
        agent.advertise(term: 1, isHost: true)
        #expect(discovery.updates == [])
    }
}

@Suite("Addresses of members")
struct MemberAddressTests {
    private static func row(_ node: UInt64, _ addresses: String) throws -> AgentTables.Node {
        let id = NodeID(high: 0, low: node).description
        return try #require(
            AgentTables.Node(["id": .text(Array(id.utf8)), "addresses": .text(Array(addresses.utf8))])
        )
    }

    @Test("a row holds up to four, and nonsense in it is left out")
    func parsing() throws {
        #expect(try Self.row(1, "10.0.0.1:7450 [fd00::1]:7450").addresses == ["10.0.0.1:7450", "[fd00::1]:7450"])
        #expect(try Self.row(1, "").addresses == [])
        #expect(try Self.row(1, "  10.0.0.1:1   ").addresses == ["10.0.0.1:1"])
        #expect(try Self.row(1, "name:1 10.0.0.1 10.0.0.1:0 10.0.0.1:1").addresses == ["10.0.0.1:1"])
        #expect(try Self.row(1, (1...6).map { "10.0.0.\($0):1" }.joined(separator: " ")).addresses.count == 4)
        #expect(try Self.row(1, String(repeating: "10.0.0.1:1 ", count: 1_000)).addresses == [])
    }

    @Test(
        "the core is given the others' addresses when they change, but none of this node's own, and none of revoked ones"
    )
    func hints() throws {
        let given = NIOLockedValueBox<[[PeerHint]]>([])
        let hints = MemberHints(
            own: NodeID(high: 0, low: 1),
            ownAddresses: { ["10.0.0.8:1"] },
            isRevoked: { $0 == NodeID(high: 0, low: 3) },
            found: { hints in given.withLockedValue { $0.append(hints) } }
        )
        let rows = [
            try Self.row(3, "10.0.0.3:1"), try Self.row(2, "10.0.0.2:1 10.0.0.8:1 10.0.0.22:1"),
            try Self.row(1, "10.0.0.1:1"),
        ]
        hints.read([])
        hints.read(rows)
        hints.read(rows.reversed())
        let expected = ["10.0.0.2:1", "10.0.0.22:1"].map {
            PeerHint(address: $0, node: NodeID(high: 0, low: 2), source: .remembered)
        }
        #expect(given.withLockedValue { $0 } == [expected])
        hints.read([try Self.row(2, "10.0.0.9:1")])
        #expect(given.withLockedValue { $0.last?.map(\.address) } == ["10.0.0.9:1"])
    }

    @Test("however much is written into the list, no more than the limit is given")
    func bounded() throws {
        let count = NIOLockedValueBox(0)
        let hints = MemberHints(
            own: NodeID(high: 0, low: 0),
            ownAddresses: { [] },
            isRevoked: { _ in false },
            found: { hints in count.withLockedValue { $0 = hints.count } }
        )
        hints.read(try (1...2_000).map { try Self.row($0, "10.0.0.1:1") })
        #expect(count.withLockedValue { $0 } == MemberHints.hintsMax)
    }

    @Test("a change of the PC's addresses is noticed, once")
    func watch() async throws {
        let addresses = NIOLockedValueBox(["10.0.0.1:1"])
        let looks = NIOLockedValueBox(0)
        let (changes, change) = AsyncStream.makeStream(of: [String].self, bufferingPolicy: .bufferingOldest(8))
        let watch = AddressWatch(interval: .milliseconds(1)) {
            // The address changes while it is watched, once.
            looks.withLockedValue { $0 += 1 }
            if looks.withLockedValue({ $0 }) == 3 { addresses.withLockedValue { $0 = ["10.0.0.2:1"] } }
            if looks.withLockedValue({ $0 }) == 9 { addresses.withLockedValue { $0 = ["10.0.0.3:1"] } }
            return addresses.withLockedValue { $0 }
        } changed: {
            change.yield($0)
        }
        await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await watch.run() }
            var seen: [[String]] = []
            for await addresses in changes {
                seen.append(addresses)
                if seen.count == 2 { break }
            }
            tasks.cancelAll()
            #expect(seen == [["10.0.0.2:1"], ["10.0.0.3:1"]])
        }
    }
}
