import ClinicSyncModel

/// The key of a service as a browser reports it.
///
/// A node appears once for each interface and protocol.
struct ServiceKey: Sendable, Hashable {
    /// The interface's index.
    var interface: Int32
    /// Avahi's number of the protocol, IPv4 or IPv6.
    var `protocol`: Int32
    /// The instance.
    var name: String
    /// The type.
    var type: String
    /// The domain.
    var domain: String
}

/// The services that are announced on the LAN, and what of them this clinic's nodes are.
///
/// Knows no Avahi: the session tells it what it heard and does what it says. Bounded by ``servicesMax``; when it is
/// full, services of other clinics make room. If there are none, the new service is ignored until it is announced again.
struct ServiceTable {
    /// Services at most: two hundred nodes with IPv4 and IPv6, and some of neighbours.
    static let servicesMax = 512
    /// The delay before a service that could not be resolved is tried again; doubles up to ``retryMax``.
    static let retryMin = Duration.seconds(2)
    /// The longest such delay.
    static let retryMax = Duration.seconds(60)

    /// The consequences of a resolved service.
    struct Resolution: Hashable {
        /// The events to report.
        var events: [DiscoveryEvent] = []
        /// Whether later changes of the service matter.
        var isWatched = false
    }

    /// Where the lookup of a service stands.
    private enum Lookup: Hashable {
        /// To be begun at a time, after `failures` in a row.
        case due(Duration, failures: Int)
        /// Under way, or done and listening for changes.
        case active(failures: Int)
        /// Not worth one: this node itself, another clinic's, or no node at all.
        case over
    }

    /// The last answer of a service of the clinic.
    private struct Member: Hashable {
        var text: ServiceText
        var address: ServiceAddress
    }

    private struct Entry {
        var lookup: Lookup
        var member: Member?
        var isLocal: Bool
        /// In which order they came, so that results do not depend on hashing.
        var number: UInt64
    }

    private let clinic: String
    private let ownNode: NodeID?
    private var entries: [ServiceKey: Entry] = [:]
    private var told: [NodeID: DiscoveredPeer] = [:]
    private var count: UInt64 = 0

    /// Makes an empty table.
    ///
    /// - Parameters:
    ///   - clinicID: the clinic that is looked for.
    ///   - ownNode: the node to leave out.
    init(clinicID: String, ownNode: NodeID?) {
        self.clinic = ServiceText.tag(ofClinic: clinicID)
        self.ownNode = ownNode
    }

    /// The services known.
    var services: Int { self.entries.count }

    /// When the next service is to be looked up.
    var nextDue: Duration? {
        self.entries.values.compactMap { entry in
            guard case .due(let time, _) = entry.lookup else { return nil }
            return time
        }.min()
    }

    /// Takes note of a service.
    ///
    /// - Parameters:
    ///   - key: the service.
    ///   - isOwn: whether it is this node's own announcement.
    ///   - isLocal: whether it is announced by this PC.
    ///   - now: the time.
    mutating func appeared(_ key: ServiceKey, isOwn: Bool, isLocal: Bool, at now: Duration) {
        guard self.entries[key] == nil, self.makeRoom() else { return }
        self.count += 1
        self.entries[key] = Entry(
            lookup: isOwn ? .over : .due(now, failures: 0),
            member: nil,
            isLocal: isLocal,
            number: self.count
        )
    }

    /// Returns the services to look up now, and takes their lookups as begun.
    mutating func takeDue(at now: Duration) -> [ServiceKey] {
        var due: [(key: ServiceKey, number: UInt64)] = []
        for (key, entry) in self.entries {
            guard case .due(let time, let failures) = entry.lookup, time <= now else { continue }
            self.entries[key]?.lookup = .active(failures: failures)
            due.append((key, entry.number))
        }
        return due.sorted { $0.number < $1.number }.map(\.key)
    }

    /// Takes note of what a service says.
    ///
    /// - Parameters:
    ///   - key: the service.
    ///   - strings: the strings of its TXT record.
    ///   - ip: its address.
    ///   - interface: the name of the interface on which it was found.
    ///   - port: its port.
    /// - Returns: What to tell, and whether its later changes matter.
    mutating func resolved(
        _ key: ServiceKey,
        strings: [[UInt8]],
        ip: String,
        interface: String?,
        port: Int
    ) -> Resolution {
        // Benign race: the service went while its answer was under way.
        guard let entry = self.entries[key] else { return Resolution() }
        let before = entry.member?.text.node
        guard let text = ServiceText(entries: strings), text.clinic == self.clinic, text.node != self.ownNode,
            let address = ServiceAddress(ip: ip, interface: interface, port: port, isLocal: entry.isLocal)
        else {
            self.entries[key]?.lookup = .over
            self.entries[key]?.member = nil
            return Resolution(events: self.review(before))
        }
        self.entries[key]?.lookup = .active(failures: 0)
        self.entries[key]?.member = Member(text: text, address: address)
        let events = (before == text.node ? [] : self.review(before)) + self.review(text.node)
        return Resolution(events: events, isWatched: true)
    }

    /// Takes note that a lookup failed or has ended; it is repeated later.
    ///
    /// The last answer of the service stays: the heartbeat finds out whether a node still answers.
    mutating func failed(_ key: ServiceKey, at now: Duration) {
        guard case .active(let failures) = self.entries[key]?.lookup else { return }
        let delay = min(ServiceTable.retryMin * (1 << min(failures, 16)), ServiceTable.retryMax)
        self.entries[key]?.lookup = .due(now + delay, failures: failures + 1)
    }

    /// Takes note that a service is announced no more.
    ///
    /// - Returns: What to tell.
    mutating func vanished(_ key: ServiceKey) -> [DiscoveryEvent] {
        guard let entry = self.entries.removeValue(forKey: key) else { return [] }
        return self.review(entry.member?.text.node)
    }

    /// Forgets all services without an event: their nodes may still be there.
    mutating func forget() {
        self.entries = [:]
        self.told = [:]
    }

    /// Tells of a node if there is news.
    private mutating func review(_ node: NodeID?) -> [DiscoveryEvent] {
        guard let node else { return [] }
        let members = self.entries.values.compactMap(\.member).filter { $0.text.node == node }
        // The services of one node change one after the other: the newest term is what it says now.
        guard
            let newest = members.max(by: {
                ($0.text.term, $0.text.isHost ? 1 : 0) < ($1.text.term, $1.text.isHost ? 1 : 0)
            })
        else { return self.told.removeValue(forKey: node) == nil ? [] : [.lost(node)] }
        var seen: Set<String> = []
        let addresses = members.map(\.address).sorted().map(\.text).filter { seen.insert($0).inserted }
        let peer = DiscoveredPeer(
            node: node,
            addresses: Array(addresses.prefix(DiscoveredPeer.addressesMax)),
            term: newest.text.term,
            isHost: newest.text.isHost
        )
        guard self.told.updateValue(peer, forKey: node) != peer else { return [] }
        return [.found(peer)]
    }

    /// Makes room for one more service.
    ///
    /// - Returns: Whether there is any.
    private mutating func makeRoom() -> Bool {
        guard self.entries.count >= ServiceTable.servicesMax else { return true }
        let others = self.entries.filter { $0.value.lookup == .over }
        guard let oldest = others.min(by: { $0.value.number < $1.value.number }) else { return false }
        self.entries.removeValue(forKey: oldest.key)
        return true
    }
}
