import NIOCore

/// The addresses at which other PCs reach this one: what stands in join codes and in the list of members.
enum AdvertisedAddresses {
    /// Addresses told at most: a PC with more interfaces is reached at its first ones.
    private static let addressesMax = 4

    /// Returns where others connect when the node listens on `listen`; for a wildcard, each address of the PC.
    ///
    /// Never empty. Private addresses go first and loopback is named only when there is nothing else.
    static func addresses(listening listen: NetworkAddress) -> [NetworkAddress] {
        guard ["0.0.0.0", "::"].contains(listen.host) else { return [listen] }
        let own = AdvertisedAddresses.ownHosts().filter { host in
            // An IPv4 socket answers no IPv6 address.
            listen.host == "::" || !host.contains(":")
        }
        let hosts = own.isEmpty ? [listen.host == "::" ? "::1" : "127.0.0.1"] : own
        return hosts.prefix(AdvertisedAddresses.addressesMax).map { NetworkAddress(host: $0, port: listen.port) }
    }

    /// Returns every address at which the node that listens on `listen` would reach itself.
    static func own(listening listen: NetworkAddress) -> [String] {
        guard ["0.0.0.0", "::"].contains(listen.host) else { return [listen.description] }
        let hosts = AdvertisedAddresses.ownHosts() + ["127.0.0.1", "::1"]
        return hosts.map { NetworkAddress(host: $0, port: listen.port).description }
    }

    /// Whether `text` is `ip:port` or `[v6]:port` with a port that is one; names are not looked up.
    static func isDialable(_ text: String) -> Bool {
        do {
            let address = try NetworkAddress(parsing: text)
            _ = try SocketAddress(ipAddress: address.host, port: address.port)
            return address.port != 0
        } catch {
            return false
        }
    }

    /// The PC's addresses that a code can carry: IPv4 first; no loopback, no link-local ones, whose scope is the PC's own.
    private static func ownHosts() -> [String] {
        let devices: [NIONetworkDevice]
        do {
            devices = try System.enumerateDevices()
        } catch {
            // Without the list of interfaces the caller falls back to loopback: `join --host` still reaches the node.
            return []
        }
        let hosts = devices.compactMap { device in device.address?.ipAddress }.filter { host in
            !NetworkAddress.isLoopback(host: host) && !host.lowercased().hasPrefix("fe80:")
        }
        return hosts.filter { !$0.contains(":") } + hosts.filter { $0.contains(":") }
    }
}
