import CAvahi

/// A report from libavahi, copied out of its callback.
enum AvahiSignal {
    /// The connection with avahi-daemon has a new state.
    case client(AvahiClientState, error: Int32)
    /// The announcement has a new state.
    case group(AvahiEntryGroupState)
    /// A service is announced.
    case appeared(ServiceKey, isOwn: Bool, isLocal: Bool)
    /// A service is no longer announced.
    case vanished(ServiceKey)
    /// Browsing has ended.
    case browserFailed
    /// A service reported its address and its TXT record.
    case resolved(ServiceKey, strings: [[UInt8]], ip: String, port: Int)
    /// A lookup has ended without an answer.
    case unresolved(ServiceKey)
}

/// Stores the reports of libavahi's callbacks until the session handles them.
///
/// The callbacks do nothing else. No callback makes or frees an object of libavahi, so libavahi never returns into
/// freed memory. No code of the session runs while libavahi is inside a call.
final class AvahiSignals {
    /// The largest number of waiting reports.
    ///
    /// When a busier LAN exceeds it, the session restarts.
    static let pendingMax = 16_384

    private var pending: [AvahiSignal] = []
    /// Whether reports were dropped.
    private(set) var isOverflowed = false

    /// Makes an empty store of reports.
    init() {}

    /// The pointer that callbacks receive.
    ///
    /// It identifies this object and is valid while the object lives.
    var pointer: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

    /// Returns the object that a callback's pointer identifies.
    static func at(_ pointer: UnsafeMutableRawPointer?) -> AvahiSignals? {
        pointer.map { Unmanaged<AvahiSignals>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Adds a report.
    func post(_ signal: AvahiSignal) {
        guard self.pending.count < AvahiSignals.pendingMax else {
            self.isOverflowed = true
            return
        }
        self.pending.append(signal)
    }

    /// Returns the reports in order and forgets them.
    func take() -> [AvahiSignal] {
        defer { self.pending = [] }
        return self.pending
    }

    /// Drops all reports.
    ///
    /// Freed objects report nothing more.
    func reset() {
        self.pending = []
        self.isOverflowed = false
    }

    // MARK: - Callbacks

    /// libavahi's `AvahiClientCallback`; the first call happens inside `avahi_client_new`.
    static let onClient: AvahiClientCallback = { client, state, pointer in
        let error = state == AVAHI_CLIENT_FAILURE ? avahi_client_errno(client) : 0
        AvahiSignals.at(pointer)?.post(.client(state, error: error))
    }

    /// libavahi's `AvahiEntryGroupCallback`; the first call happens inside `avahi_entry_group_new`.
    static let onGroup: AvahiEntryGroupCallback = { _, state, pointer in
        AvahiSignals.at(pointer)?.post(.group(state))
    }

    /// libavahi's `AvahiServiceBrowserCallback`.
    static let onBrowse: AvahiServiceBrowserCallback = {
        _,
        interface,
        proto,
        event,
        name,
        type,
        domain,
        flags,
        pointer in
        guard let signals = AvahiSignals.at(pointer) else { return }
        if event == AVAHI_BROWSER_FAILURE { return signals.post(.browserFailed) }
        guard let name, let type, let domain else { return }
        let key = AvahiSignals.key(interface, proto, name, type, domain)
        if event == AVAHI_BROWSER_NEW {
            signals.post(
                .appeared(
                    key,
                    isOwn: flags.rawValue & AVAHI_LOOKUP_RESULT_OUR_OWN.rawValue != 0,
                    isLocal: flags.rawValue & AVAHI_LOOKUP_RESULT_LOCAL.rawValue != 0
                )
            )
        } else if event == AVAHI_BROWSER_REMOVE {
            signals.post(.vanished(key))
        }
    }

    /// libavahi's `AvahiServiceResolverCallback`.
    static let onResolve: AvahiServiceResolverCallback = {
        _,
        interface,
        proto,
        event,
        name,
        type,
        domain,
        _,
        address,
        port,
        text,
        _,
        pointer in
        guard let signals = AvahiSignals.at(pointer), let name, let type, let domain else { return }
        let key = AvahiSignals.key(interface, proto, name, type, domain)
        guard event == AVAHI_RESOLVER_FOUND, let address else { return signals.post(.unresolved(key)) }
        signals.post(
            .resolved(
                key,
                strings: AvahiSignals.strings(text),
                ip: AvahiSignals.text(of: address),
                port: Int(port)
            )
        )
    }

    private static func key(
        _ interface: AvahiIfIndex,
        _ proto: AvahiProtocol,
        _ name: UnsafePointer<CChar>,
        _ type: UnsafePointer<CChar>,
        _ domain: UnsafePointer<CChar>
    ) -> ServiceKey {
        ServiceKey(
            interface: interface,
            protocol: proto,
            name: String(cString: name),
            type: String(cString: type),
            domain: String(cString: domain)
        )
    }

    /// Returns the strings of a TXT record, up to the number that the reader examines.
    private static func strings(_ list: UnsafeMutablePointer<AvahiStringList>?) -> [[UInt8]] {
        var strings: [[UInt8]] = []
        var node = list
        while let current = node, strings.count < ServiceText.entriesMax {
            let bytes = UnsafeBufferPointer(
                start: avahi_string_list_get_text(current),
                count: avahi_string_list_get_size(current)
            )
            strings.append(Array(bytes))
            node = avahi_string_list_get_next(current)
        }
        return strings
    }

    private static func text(of address: UnsafePointer<AvahiAddress>) -> String {
        var buffer = [CChar](repeating: 0, count: Int(AVAHI_ADDRESS_STR_MAX) + 1)
        avahi_address_snprint(&buffer, buffer.count, address)
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
