import ClinicSyncModel
import Testing

@testable import ClinicSyncDiscovery

@Suite("The services on the LAN")
struct ServiceTableTests {
    private static let own = NodeID(high: 9, low: 9)
    private static let peer = NodeID(high: 1, low: 2)

    private var table = ServiceTable(clinicID: "k7q", ownNode: Self.own)

    private static func key(_ name: String, interface: Int32 = 2, proto: Int32 = 0) -> ServiceKey {
        ServiceKey(interface: interface, protocol: proto, name: name, type: "_clinicsync._tcp", domain: "local")
    }

    private static func strings(
        _ node: NodeID,
        clinic: String = "k7q",
        term: UInt64 = 7,
        isHost: Bool = false
    ) -> [[UInt8]] {
        var advertisement = ServiceTextTests.advertisement
        advertisement.clinicID = clinic
        advertisement.node = node
        advertisement.term = term
        advertisement.isHost = isHost
        return ServiceText(advertisement).pairs.map { Array("\($0.key)=\($0.value)".utf8) }
    }

    /// A service comes and is looked up.
    private mutating func appear(_ key: ServiceKey, at now: Duration = .zero) {
        self.table.appeared(key, isOwn: false, isLocal: false, at: now)
        #expect(self.table.takeDue(at: now) == [key])
    }

    private mutating func resolve(
        _ key: ServiceKey,
        _ strings: [[UInt8]],
        ip: String = "10.0.0.2"
    ) -> ServiceTable.Resolution {
        self.table.resolved(key, strings: strings, ip: ip, interface: "eth0", port: 7450)
    }

    private static func found(
        _ addresses: [String],
        term: UInt64 = 7,
        isHost: Bool = false
    ) -> DiscoveryEvent {
        .found(DiscoveredPeer(node: self.peer, addresses: addresses, term: term, isHost: isHost))
    }

    @Test("a node of the clinic is found once, with all its addresses, and lost with the last of its services")
    mutating func found() {
        let (v4, v6) = (Self.key("a"), Self.key("a", proto: 1))
        self.appear(v4)
        self.appear(v6)
        #expect(
            self.resolve(v6, Self.strings(Self.peer), ip: "fe80::2")
                == .init(events: [Self.found(["[fe80::2%eth0]:7450"])], isWatched: true)
        )
        let both = ["10.0.0.2:7450", "[fe80::2%eth0]:7450"]
        #expect(self.resolve(v4, Self.strings(Self.peer)).events == [Self.found(both)])
        #expect(self.resolve(v4, Self.strings(Self.peer)) == .init(events: [], isWatched: true))
        #expect(self.table.vanished(v6) == [Self.found(["10.0.0.2:7450"])])
        #expect(self.table.vanished(v4) == [.lost(Self.peer)])
        #expect(self.table.vanished(v4) == [])
    }

    @Test("a new term is news, whichever of its services tells first")
    mutating func term() {
        let (one, two) = (Self.key("a"), Self.key("a", interface: 3))
        self.appear(one)
        self.appear(two)
        _ = self.resolve(one, Self.strings(Self.peer))
        _ = self.resolve(two, Self.strings(Self.peer))
        let news = Self.found(["10.0.0.2:7450"], term: 8, isHost: true)
        #expect(self.resolve(two, Self.strings(Self.peer, term: 8, isHost: true)).events == [news])
        #expect(self.resolve(one, Self.strings(Self.peer, term: 8, isHost: true)).events == [])
    }

    @Test("this node itself, other clinics and things that are no node are left alone")
    mutating func ignored() {
        let own = Self.key("own")
        self.table.appeared(own, isOwn: true, isLocal: true, at: .zero)
        #expect(self.table.takeDue(at: .zero) == [])
        #expect(self.table.nextDue == nil)
        for (name, strings) in [
            ("itself", Self.strings(Self.own)), ("other", Self.strings(Self.peer, clinic: "other")),
            ("printer", [Array("ty=Printer".utf8)]),
        ] {
            let key = Self.key(name)
            self.appear(key)
            #expect(self.resolve(key, strings) == .init(events: [], isWatched: false))
            #expect(self.table.takeDue(at: .seconds(3_600)) == [])
            #expect(self.table.vanished(key) == [])
        }
    }

    @Test("a service that becomes another clinic's is lost")
    mutating func changed() {
        let key = Self.key("a")
        self.appear(key)
        _ = self.resolve(key, Self.strings(Self.peer))
        #expect(
            self.resolve(key, Self.strings(Self.peer, clinic: "other"))
                == .init(events: [.lost(Self.peer)], isWatched: false)
        )
    }

    @Test("a lookup that fails is begun anew, ever later but at least once a minute, and starts over after a success")
    mutating func retries() throws {
        let key = Self.key("a")
        self.appear(key)
        var now = Duration.zero
        var delays: [Duration] = []
        for _ in 0..<8 {
            self.table.failed(key, at: now)
            let due = try #require(self.table.nextDue)
            #expect(self.table.takeDue(at: due - .nanoseconds(1)) == [])
            #expect(self.table.takeDue(at: due) == [key])
            delays.append(due - now)
            now = due
        }
        #expect(delays == [2, 4, 8, 16, 32, 60, 60, 60].map { .seconds($0) })
        #expect(self.resolve(key, Self.strings(Self.peer)).events.count == 1)
        self.table.failed(key, at: now)
        #expect(self.table.nextDue == now + .seconds(2))
    }

    @Test("a node whose lookup ends is not lost: mDNS does not know who lives")
    mutating func silent() {
        let key = Self.key("a")
        self.appear(key)
        _ = self.resolve(key, Self.strings(Self.peer))
        self.table.failed(key, at: .zero)
        #expect(self.table.takeDue(at: .seconds(2)) == [key])
        #expect(self.resolve(key, Self.strings(Self.peer)).events == [])
        #expect(self.table.vanished(key) == [.lost(Self.peer)])
    }

    @Test("an answer for a service that went, or a failure after it, does nothing")
    mutating func late() {
        let key = Self.key("a")
        #expect(self.resolve(key, Self.strings(Self.peer)) == .init())
        self.table.failed(key, at: .zero)
        #expect(self.table.nextDue == nil)
    }

    @Test("the table is bounded; what is no node of ours makes room, and nodes do not")
    mutating func bounded() {
        for number in 0..<ServiceTable.servicesMax {
            let key = Self.key("n\(number)")
            self.appear(key)
            let node = NodeID(high: 1, low: UInt64(number))
            _ = self.resolve(key, Self.strings(node, clinic: number == 5 ? "other" : "k7q"))
        }
        self.table.appeared(Self.key("one more"), isOwn: false, isLocal: false, at: .zero)
        #expect(self.table.services == ServiceTable.servicesMax)
        #expect(self.table.takeDue(at: .zero) == [Self.key("one more")])
        self.table.appeared(Self.key("too many"), isOwn: false, isLocal: false, at: .zero)
        #expect(self.table.takeDue(at: .zero) == [])
        #expect(self.table.vanished(Self.key("n6")) == [.lost(NodeID(high: 1, low: 6))])
        self.table.appeared(Self.key("too many"), isOwn: false, isLocal: false, at: .zero)
        #expect(self.table.takeDue(at: .zero) == [Self.key("too many")])
    }

    @Test("no more than four addresses of a node are told")
    mutating func addresses() throws {
        var last: DiscoveryEvent?
        for number in 1...6 {
            let key = Self.key("a", interface: Int32(number))
            self.appear(key)
            let events = self.resolve(key, Self.strings(Self.peer), ip: "10.0.0.\(number)").events
            last = events.last ?? last
        }
        #expect(last == Self.found((1...4).map { "10.0.0.\($0):7450" }))
    }

    @Test("a table that was forgotten tells everything again")
    mutating func forgotten() {
        let key = Self.key("a")
        self.appear(key)
        let first = self.resolve(key, Self.strings(Self.peer))
        self.table.forget()
        #expect(self.table.services == 0)
        self.appear(key)
        #expect(self.resolve(key, Self.strings(Self.peer)) == first)
    }
}
