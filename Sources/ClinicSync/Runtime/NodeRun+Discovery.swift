import ClinicSyncCore
import ClinicSyncDiscovery
import ClinicSyncModel
import Logging

// How the node is found, and how it finds the others.
extension NodeRun {
    /// Makes what announces the node and looks for others; `nil` when that is switched off.
    func makeDiscovery(listen: NetworkAddress) -> DiscoveryAgent? {
        guard self.settings.configuration.discovery != .off else { return nil }
        let advertisement = self.advertisement(listen: listen)
        let clinicID = self.state.identity.clinicID
        return DiscoveryAgent(
            advertisement.map { AvahiDiscovery($0) } ?? AvahiDiscovery(lookingFor: clinicID),
            advertisement: advertisement,
            isRequired: self.settings.configuration.discovery == .avahi,
            logger: self.settings.logger
        ) { [inbox] in inbox.post(.peersFound($0)) }
    }

    /// Makes what has the node's own row written anew when the PC has other addresses.
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

    /// What is announced; `nil` when nobody on the LAN could connect.
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
