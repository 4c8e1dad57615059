import ClinicSyncCore
import ClinicSyncModel

extension CoreConfiguration {
    /// The core's configuration for one run of a node.
    ///
    /// - Parameters:
    ///   - settings: What the node was started with.
    ///   - state: The node's identity, name and addresses.
    ///   - storage: The open store, which knows the origin and the epoch.
    ///   - register: The members whose membership is verified.
    init(_ settings: NodeSettings, state: NodeState, storage: StorageService, register: MemberRegister) {
        var generator = SystemRandomNumberGenerator()
        self.init(
            origin: storage.origin,
            nodeName: state.identity.nodeName,
            clinicID: state.identity.clinicID,
            clinicName: state.identity.clinicName,
            softwareVersion: SoftwareVersion.current,
            addresses: Array(state.addresses.prefix(NodeAddresses.addressesMax)),
            hints: CoreConfiguration.hints(settings, state: state),
            members: register.known,
            randomSeed: generator.next()
        )
        self.epoch = storage.epoch.data
        self.priority = UInt32(clamping: settings.configuration.priority)
        self.reconcileInterval = settings.configuration.reconcileEvery
        settings.tuning(&self)
    }

    /// The first addresses for dialling: the host that admitted this node, and the configured addresses.
    private static func hints(_ settings: NodeSettings, state: NodeState) -> [PeerHint] {
        let configured = settings.configuration.peers.map {
            PeerHint(address: $0.description, node: nil, source: .configured)
        }
        guard let host = state.identity.host else { return configured }
        return [PeerHint(address: host.address, node: host.nodeID, source: .remembered)] + configured
    }
}
