import ClinicSyncCore
import ClinicSyncDiscovery
import ClinicSyncModel
import Logging

// How the node is found, and how it finds the others.
extension ClinicNode {
    /// Makes what announces the node and looks for others; `nil` when that is switched off.
    func makeDiscovery(listen: NetworkAddress, schemaVersion: Int, inbox: Inbox) -> DiscoveryAgent? {
        guard self.configuration.discovery != .off else { return nil }
        let advertisement = self.advertisement(listen: listen, schemaVersion: schemaVersion)
        let clinicID = self.identity.clinicID
        return DiscoveryAgent(
            advertisement.map { AvahiDiscovery($0) } ?? AvahiDiscovery(lookingFor: clinicID),
            advertisement: advertisement,
            isRequired: self.configuration.discovery == .avahi,
            logger: self.logger
        ) { inbox.post(.peersFound($0)) }
    }

    /// Makes what has the node's own row written anew when the PC has other addresses.
    func makeAddressWatch(listen: NetworkAddress, exchange: TrustExchange, inbox: Inbox) -> AddressWatch {
        let logger = self.logger
        return AddressWatch {
            AdvertisedAddresses.addresses(listening: listen).map(\.description)
        } changed: { addresses in
            logger.info(
                "This PC has other addresses",
                metadata: ["node.addresses": "\(addresses.joined(separator: " "))"]
            )
            inbox.post(.addressesChanged(addresses))
            exchange.tablesChanged()
        }
    }

    /// What is announced; `nil` when nobody on the LAN could connect.
    private func advertisement(listen: NetworkAddress, schemaVersion: Int) -> Advertisement? {
        guard !listen.isLoopback else { return nil }
        let reach: Advertisement.Reach =
            if listen.host == "::" { .both } else if listen.host.contains(":") { .ipv6 } else { .ipv4 }
        return Advertisement(
            clinicID: self.identity.clinicID,
            node: self.identity.nodeID,
            term: 0,
            isHost: false,
            port: listen.port,
            reach: reach,
            protocolVersion: Int(CoreLimits.protocolVersion),
            schemaVersion: schemaVersion
        )
    }
}
