import NIOCore

/// The addresses at which other PCs reach this PC, for join codes and the list of members.
enum AdvertisedAddresses {
    /// The largest number of addresses.
    ///
    /// A PC with more interfaces is reached at its first addresses.
    private static let addressesMax = 4

    /// Returns where other nodes connect when the node listens on `listen`; for a wildcard, each address of the PC.
    ///
    /// The result is never empty. IPv4 addresses come first. The result contains loopback only when no other address
    /// exists.
    static func addresses(listening listen: NetworkAddress) -> [NetworkAddress] {
        guard ["0.0.0.0", "::"].contains(listen.host) else { return [listen] }
        let own = AdvertisedAddresses.ownHosts().filter { host in
            // An IPv4 socket does not accept connections to an IPv6 address.
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

    /// Returns whether `text` is `ip:port` or `[v6]:port` with a valid port.
    ///
    /// Names are not resolved.
    static func isDialable(_ text: String) -> Bool {
        do {
            let address = try NetworkAddress(parsing: text)
            _ = try SocketAddress(ipAddress: address.host, port: address.port)
            return address.port != 0
        } catch {
            return false
        }
    }

    /// Returns the PC's addresses that a code can contain, IPv4 first.
    ///
    /// The result excludes loopback and link-local addresses, because their scope is this PC.
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
