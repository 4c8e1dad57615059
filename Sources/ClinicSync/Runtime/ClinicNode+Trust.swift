import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import NIOCore

// What of the node has to do with certificates.
extension ClinicNode {
    /// Reads what the node trusts, and renews its own certificate at once if it can and must.
    ///
    /// - Throws: ``ClinicSyncError``: `permission` when others could read the keys, `notANode`, `corrupt`, `revoked`.
    func loadTrust() throws -> TrustStore {
        let trust = try TrustStore.load(
            directory: self.directory,
            wallClock: { [clock] in clock.wallMilliseconds }
        )
        if let refusal = trust.refusal { throw refusal }
        // Before anybody connects: after a holiday all certificates may have run out, this one first.
        if trust.maySign, trust.isRenewalDue(at: self.clock.wallMilliseconds) { try trust.renewOwn() }
        return trust
    }

    /// The first address at which others reach the node.
    func advertised(_ listen: String) -> [String] {
        do {
            let address = try NetworkAddress(parsing: listen)
            let all = AdvertisedAddresses.addresses(listening: address).map(\.description)
            return Array(all.prefix(NodeAddresses.addressesMax))
        } catch {
            return [listen]
        }
    }

    /// Makes what answers PCs that want to join or renew.
    ///
    /// - Throws: ``ClinicSyncError`` of code `corrupt`, or those of reading files.
    func makeDesk(_ trust: TrustStore) throws -> EnrollmentDesk {
        try EnrollmentDesk(
            store: trust,
            wallClock: { [clock] in clock.wallMilliseconds },
            surroundings: { [identity, controlBox] in
                let host = controlBox.hostOrSelf
                return EnrollmentDesk.Surroundings(
                    clinicName: identity.clinicName,
                    hostID: host.id,
                    hostAddresses: host.addresses
                )
            }
        )
    }

    /// Makes what keeps trust and tables in step.
    func makeExchange(
        _ trust: TrustStore,
        storage: StorageService,
        transport: PeerTransport,
        listen: NetworkAddress,
        inbox: Inbox
    ) -> TrustExchange {
        let hints = MemberHints(
            own: self.identity.nodeID,
            ownAddresses: { AdvertisedAddresses.own(listening: listen) },
            isRevoked: { trust.isRevoked($0) },
            found: { inbox.post(.peersFound($0)) }
        )
        return TrustExchange(
            TrustExchange.Surroundings(
                trust: trust,
                storage: storage,
                wrote: { inbox.post(.localCommitNoticed) },
                reviewPeers: { transport.reviewPeers() },
                ownRow: { [identity, controlBox, clock] in
                    let addresses = AdvertisedAddresses.addresses(listening: listen).map(\.description)
                    return AgentTables.Node(
                        id: identity.nodeID,
                        name: controlBox.nodeName,
                        addresses: Array(addresses.prefix(AgentTables.Node.addressesMax)),
                        certificate: trust.ownCertificate,
                        softwareVersion: SoftwareVersion.current,
                        maySign: trust.maySign,
                        schemaVersion: Int64(ClinicMigrator.clinic.schemaVersion),
                        aliveAt: TrustExchange.day(of: clock.wallMilliseconds)
                    )
                },
                membersRead: { hints.read($0) },
                wallClock: { [clock] in clock.wallMilliseconds },
                renamed: { [directory, controlBox] name in
                    var identity = try directory.identity()
                    identity.nodeName = name
                    try directory.write(identity)
                    controlBox.renamed(name)
                },
                logger: self.logger
            )
        )
    }

    /// Makes what renews the certificate.
    func makeRenewal(
        _ trust: TrustStore,
        exchange: TrustExchange,
        storage: StorageService,
        transport: PeerTransport
    ) -> CertificateRenewal {
        let known = [self.identity.host?.address].compactMap { $0 } + self.configuration.peers.map(\.description)
        let own = self.identity.nodeID
        return CertificateRenewal(
            trust: trust,
            group: self.group,
            isLANOnly: self.configuration.isLANOnly,
            clock: self.clock,
            pace: self.renewalPace,
            logger: self.logger,
            addresses: {
                let rows = try await storage.read { try $0.agentRows(AgentTables.nodes) }
                    .compactMap(AgentTables.Node.init)
                    .filter { $0.id != own && !trust.isRevoked($0.id) }
                let signers = rows.filter(\.maySign).flatMap(\.addresses).shuffled()
                var seen = Set<String>()
                // Those that said they may sign, then those this node has always known, then anybody.
                return (signers + known + rows.flatMap(\.addresses)).filter { seen.insert($0).inserted }
            },
            looked: {
                transport.reviewPeers()
                exchange.clockLookedAt()
            },
            renewed: { exchange.tablesChanged() }
        )
    }
}
