import ClinicSyncCore
import ClinicSyncDiscovery
import ClinicSyncModel
import Logging

// How other nodes find this node, and how it finds them.
extension NodeRun {
    /// Makes the agent that announces the node and searches for others; `nil` when discovery is switched off.
    func makeDiscovery(listen: NetworkAddress) -> DiscoveryAgent? {
        guard self.settings.configuration.discovery != .off else { return nil }
        let advertisement = self.advertisement(listen: listen)
        let clinicID = self.state.identity.clinicID
        return DiscoveryAgent(
            advertisement.map { AvahiDiscovery($0) } ?? AvahiDiscovery(lookingFor: clinicID),
            advertisement: advertisement,
            isRequired: self.settings.configuration.discovery == .avahi,
            logger: self.settings.logger,
            changed: { [state] in state.discoveryChanged($0) },
            found: { [inbox] in inbox.post(.peersFound($0)) }
        )
    }

    /// Makes the watch that rewrites the node's own row when the PC has new addresses.
    func makeAddressWatch(listen: NetworkAddress, exchange: TrustExchange) -> AddressWatch {
        let logger = self.settings.logger
        return AddressWatch {
            AdvertisedAddresses.addresses(listening: listen).map(\.description)
        } changed: { [inbox] addresses in
            logger.info(
                "This PC has other addresses",
                metadata: ["node.addresses": "\(addresses.joined(separator: " "))"]
            )
            inbox.post(.addressesChanged(addresses))
            exchange.tablesChanged()
        }
    }

    /// Returns the advertisement; `nil` when no node on the LAN could connect.
    private func advertisement(listen: NetworkAddress) -> Advertisement? {
        guard !listen.isLoopback else { return nil }
        let reach: Advertisement.Reach =
            if listen.host == "::" { .both } else if listen.host.contains(":") { .ipv6 } else { .ipv4 }
        return Advertisement(
            clinicID: self.state.identity.clinicID,
            node: self.state.id,
            term: 0,
            isHost: false,
            port: listen.port,
            reach: reach,
            protocolVersion: Int(CoreLimits.protocolVersion),
            schemaVersion: Int(self.storage.initialState.schemaVersion)
        )
    }
}
