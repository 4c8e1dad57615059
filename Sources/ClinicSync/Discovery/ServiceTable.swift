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

/// The services announced on the LAN, and which of them are nodes of this clinic.
///
/// The table does not use Avahi: the session reports events to the table and carries out its results. ``servicesMax``
/// bounds the table. When the table is full, it removes services of other clinics. If there are none, the table ignores
/// the new service until it is announced again.
struct ServiceTable {
    /// The largest number of services: two hundred nodes with IPv4 and IPv6, and some services of neighbours.
    static let servicesMax = 512
    /// The delay before the lookup of an unresolved service is repeated.
    ///
    /// It doubles up to ``retryMax``.
    static let retryMin = Duration.seconds(2)
    /// The longest delay before a repeated lookup.
    static let retryMax = Duration.seconds(60)

    /// The consequences of a resolved service.
    struct Resolution: Hashable {
        /// The events to report.
        var events: [DiscoveryEvent] = []
        /// Whether later changes of the service matter.
        var isWatched = false
    }

    /// The state of a service's lookup.
    private enum Lookup: Hashable {
        /// The lookup starts at a time, after `failures` failures in a row.
        case due(Duration, failures: Int)
        /// The lookup is in progress, or is complete and listens for changes.
        case active(failures: Int)
        /// The service needs no lookup: it is this node itself, belongs to another clinic, or is not a node.
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
        /// The arrival number of the service, so that results do not depend on hashing.
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
    ///   - clinicID: the clinic to search for.
    ///   - ownNode: the node to ignore.
    init(clinicID: String, ownNode: NodeID?) {
        self.clinic = ServiceText.tag(ofClinic: clinicID)
        self.ownNode = ownNode
    }

    /// The number of known services.
    var services: Int { self.entries.count }

    /// When the next lookup is due.
    var nextDue: Duration? {
        self.entries.values.compactMap { entry in
            guard case .due(let time, _) = entry.lookup else { return nil }
            return time
        }.min()
    }

    /// Records a service.
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

    /// Returns the services to look up now, and marks their lookups as started.
    mutating func takeDue(at now: Duration) -> [ServiceKey] {
        var due: [(key: ServiceKey, number: UInt64)] = []
        for (key, entry) in self.entries {
            guard case .due(let time, let failures) = entry.lookup, time <= now else { continue }
            self.entries[key]?.lookup = .active(failures: failures)
            due.append((key, entry.number))
        }
        return due.sorted { $0.number < $1.number }.map(\.key)
    }

    /// Records the answer of a service.
    ///
    /// - Parameters:
    ///   - key: the service.
    ///   - strings: the strings of its TXT record.
    ///   - ip: its address.
    ///   - interface: the name of the interface on which it was found.
    ///   - port: its port.
    /// - Returns: The events to report, and whether later changes of the service matter.
    mutating func resolved(
        _ key: ServiceKey,
        strings: [[UInt8]],
        ip: String,
        interface: String?,
        port: Int
    ) -> Resolution {
        // Benign race: the service disappeared while its answer was on the way.
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

    /// Records that a lookup failed or ended, and repeats it later.
    ///
    /// The table keeps the last answer of the service. The heartbeat detects whether the node still answers.
    mutating func failed(_ key: ServiceKey, at now: Duration) {
        guard case .active(let failures) = self.entries[key]?.lookup else { return }
        let delay = min(ServiceTable.retryMin * (1 << min(failures, 16)), ServiceTable.retryMax)
        self.entries[key]?.lookup = .due(now + delay, failures: failures + 1)
    }

    /// Records that a service is no longer announced.
    ///
    /// - Returns: The events to report.
    mutating func vanished(_ key: ServiceKey) -> [DiscoveryEvent] {
        guard let entry = self.entries.removeValue(forKey: key) else { return [] }
        return self.review(entry.member?.text.node)
    }

    /// Removes all services without an event, because their nodes may still be present.
    mutating func forget() {
        self.entries = [:]
        self.told = [:]
    }

    /// Reports a node when its state has changed.
    private mutating func review(_ node: NodeID?) -> [DiscoveryEvent] {
        guard let node else { return [] }
        let members = self.entries.values.compactMap(\.member).filter { $0.text.node == node }
        // The services of one node change one after another, so the answer with the newest term is current.
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
    /// - Returns: Whether there is room.
    private mutating func makeRoom() -> Bool {
        guard self.entries.count >= ServiceTable.servicesMax else { return true }
        let others = self.entries.filter { $0.value.lookup == .over }
        guard let oldest = others.min(by: { $0.value.number < $1.value.number }) else { return false }
        self.entries.removeValue(forKey: oldest.key)
        return true
    }
}
