import CAvahi
import ClinicSyncModel
import Glibc

/// The conversation with avahi-daemon: an event loop of libavahi and all objects that depend on it.
///
/// One thread owns the session. Callbacks only store their reports (``AvahiSignals``), and the loop handles the reports
/// afterwards. So only this class makes and frees objects. The order of creation: the loop, then a client, then the
/// client's objects (announcement, browser, resolvers). These objects end with the client.
final class AvahiSession {
    private let mailbox: AvahiMailbox
    private let signals = AvahiSignals()
    private let started = ContinuousClock.now
    private var table: ServiceTable
    private var poll: OpaquePointer?
    private var client: OpaquePointer?
    private var browser: OpaquePointer?
    private var resolvers: [ServiceKey: OpaquePointer] = [:]
    private var announcement: AvahiAnnouncement?
    private var liaison = AvahiLiaison()

    /// Makes a session that has not started.
    init(clinicID: String, ownNode: NodeID?, mailbox: AvahiMailbox) {
        self.mailbox = mailbox
        self.table = ServiceTable(clinicID: clinicID, ownNode: ownNode)
    }

    private var now: Duration { self.started.duration(to: .now) }

    /// Runs the conversation until the mailbox requests a stop.
    func run() {
        while !self.mailbox.isStopped {
            guard let poll = self.poll ?? self.makePoll() else { return }
            if self.client == nil, self.liaison.connectAt <= self.now { self.connect(poll) }
            self.handleSignals()
            if self.liaison.isStuck(at: self.now) { self.complain("avahi-daemon does not get ready, restart it") }
            self.lookUp()
            self.announce()
            // Objects that were just started may already have reported.
            self.handleSignals()
            if avahi_simple_poll_iterate(poll, self.pauseMilliseconds()) != 0 {
                self.disconnect(because: "its event loop failed")
                self.freePoll()
                // Without the loop, the thread has nothing to wait on. This sleep prevents a busy loop when poll(2)
                // fails.
                usleep(1_000_000)
            }
        }
        self.disconnect(because: nil)
        self.freePoll()
    }

    // MARK: - The daemon

    private func makePoll() -> OpaquePointer? {
        self.poll = avahi_simple_poll_new()
        self.mailbox.attach(self.poll)
        if self.poll == nil { self.complain("there is no memory or descriptor left") }
        return self.poll
    }

    private func freePoll() {
        self.mailbox.attach(nil)
        if let poll = self.poll { avahi_simple_poll_free(poll) }
        self.poll = nil
    }

    private func connect(_ poll: OpaquePointer) {
        var error: Int32 = 0
        // With NO_FAIL, the client itself waits for a daemon, as long as D-Bus runs.
        self.client = avahi_client_new(
            avahi_simple_poll_get(poll),
            AVAHI_CLIENT_NO_FAIL,
            AvahiSignals.onClient,
            self.signals.pointer,
            &error
        )
        if self.client == nil { self.disconnect(because: AvahiSession.text(error)) }
    }

    /// Frees the client and its objects, and schedules a new client; with `nil`, the disconnect is normal and not
    /// reported.
    private func disconnect(because reason: String?) {
        self.announcement?.close()
        self.announcement = nil
        // This call also frees browser and resolvers, without contacting the daemon.
        if let client = self.client { avahi_client_free(client) }
        self.client = nil
        self.browser = nil
        self.resolvers = [:]
        self.signals.reset()
        self.table.forget()
        self.liaison.disconnected(at: self.now)
        if let reason { self.complain(reason) }
    }

    private func complain(_ reason: String) {
        if let event = self.liaison.complain(reason) { self.mailbox.tell(event) }
    }

    /// Returns how long to wait for reports before the next work is due.
    private func pauseMilliseconds() -> Int32 {
        let due = [
            self.client == nil ? self.liaison.connectAt : self.liaison.stuckAt,
            self.browser == nil ? nil : self.table.nextDue,
            self.liaison.isRunning ? self.mailbox.advertisement.flatMap { self.announcement?.nextDue(for: $0) } : nil,
        ].compactMap { $0 }.min()
        guard let due else { return -1 }
        let (seconds, attoseconds) = max(due - self.now, .zero).components
        // The value is rounded up, so that the work is due after the wait.
        return Int32(clamping: seconds * 1_000 + attoseconds / 1_000_000_000_000_000 + 1)
    }

    private static func text(_ error: Int32) -> String { String(cString: avahi_strerror(error)) }

    // MARK: - Reports

    private func handleSignals() {
        if self.signals.isOverflowed { return self.disconnect(because: "it reports more services than the limit") }
        for signal in self.signals.take() {
            switch signal {
            case .client(let state, let error):
                // All other reports belong to the client that was freed.
                guard self.handle(state, error: error) else { return }
            case .group(let state):
                if self.announcement?.changed(to: state, at: self.now) == .failed {
                    return self.disconnect(because: "it could not announce this node")
                }
            case .appeared(let key, let isOwn, let isLocal):
                self.table.appeared(key, isOwn: isOwn, isLocal: isLocal, at: self.now)
            case .vanished(let key):
                self.freeResolver(key)
                self.table.vanished(key).forEach(self.mailbox.tell)
            case .browserFailed:
                return self.disconnect(because: "it has stopped looking")
            case .resolved(let key, let strings, let ip, let port):
                self.resolved(key, strings: strings, ip: ip, port: port)
            case .unresolved(let key):
                // A failed resolver reports nothing more, even if the service returns.
                self.freeResolver(key)
                self.table.failed(key, at: self.now)
            }
        }
    }

    /// Handles a state of the client.
    ///
    /// - Returns: Whether the client continues.
    private func handle(_ state: AvahiClientState, error: Int32) -> Bool {
        switch state {
        case AVAHI_CLIENT_S_RUNNING:
            guard self.browse() else { return false }
            if let event = self.liaison.running() { self.mailbox.tell(event) }
            return true
        case AVAHI_CLIENT_S_REGISTERING, AVAHI_CLIENT_S_COLLISION:
            // The PC gets another host name, and the current announcement contains the old name.
            self.liaison.registering(at: self.now)
            self.announcement?.withdraw()
            return self.browse()
        case AVAHI_CLIENT_CONNECTING:
            self.liaison.waiting()
            self.complain("avahi-daemon does not run")
            return true
        default:
            self.disconnect(because: AvahiSession.text(error))
            return false
        }
    }

    private func browse() -> Bool {
        if self.browser == nil {
            self.browser = avahi_service_browser_new(
                self.client,
                AvahiSession.anyInterface,
                AvahiSession.anyProtocol,
                AvahiDiscovery.serviceType,
                nil,
                AvahiLookupFlags(rawValue: 0),
                AvahiSignals.onBrowse,
                self.signals.pointer
            )
        }
        guard self.browser != nil else {
            self.disconnect(because: AvahiSession.text(avahi_client_errno(self.client)))
            return false
        }
        return true
    }

    // MARK: - Lookups

    private func lookUp() {
        guard self.browser != nil else { return }
        for key in self.table.takeDue(at: self.now) {
            let resolver = avahi_service_resolver_new(
                self.client,
                key.interface,
                key.protocol,
                key.name,
                key.type,
                key.domain,
                key.protocol,
                AvahiLookupFlags(rawValue: 0),
                AvahiSignals.onResolve,
                self.signals.pointer
            )
            guard let resolver else {
                // The interface may be gone, or the daemon cannot make more objects. The session tries again later.
                self.table.failed(key, at: self.now)
                continue
            }
            self.resolvers[key] = resolver
        }
    }

    private func resolved(_ key: ServiceKey, strings: [[UInt8]], ip: String, port: Int) {
        let resolution = self.table.resolved(
            key,
            strings: strings,
            ip: ip,
            interface: AvahiSession.interfaceName(key.interface),
            port: port
        )
        if !resolution.isWatched { self.freeResolver(key) }
        resolution.events.forEach(self.mailbox.tell)
    }

    private func freeResolver(_ key: ServiceKey) {
        if let resolver = self.resolvers.removeValue(forKey: key) { avahi_service_resolver_free(resolver) }
    }

    private static func interfaceName(_ index: Int32) -> String? {
        guard let index = UInt32(exactly: index) else { return nil }
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard if_indextoname(index, &name) != nil else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    // MARK: - The announcement

    private func announce() {
        guard self.liaison.isRunning, let client = self.client, let advertisement = self.mailbox.advertisement else {
            return
        }
        let announcement: AvahiAnnouncement
        if let made = self.announcement {
            announcement = made
        } else {
            guard let group = avahi_entry_group_new(client, AvahiSignals.onGroup, self.signals.pointer) else {
                return self.disconnect(because: AvahiSession.text(avahi_client_errno(client)))
            }
            announcement = AvahiAnnouncement(group: group, node: advertisement.node)
            self.announcement = announcement
        }
        switch announcement.publish(advertisement, at: self.now) {
        case .done: break
        case .renamed(let name): self.mailbox.tell(.renamed(name))
        case .failed(let error): self.disconnect(because: AvahiSession.text(error))
        }
    }

    /// All interfaces.
    static let anyInterface = Int32(AVAHI_IF_UNSPEC)
    /// Both protocols.
    static let anyProtocol = Int32(AVAHI_PROTO_UNSPEC)
}
