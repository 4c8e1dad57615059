import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import NIOCore

// Certificates: which peers may connect, and how the node renews its own certificate.
extension NodeRun {
    /// Loads the node's trust store, and renews its own certificate at once if possible and necessary.
    ///
    /// - Throws: ``ClinicSyncError``: `permission` when other accounts could read the keys, `notANode`, `corrupt`,
    ///   `revoked`.
    static func loadTrust(_ settings: NodeSettings) throws -> TrustStore {
        let clock = settings.clock
        let trust = try TrustStore.load(directory: settings.directory, wallClock: { clock.wallMilliseconds })
        if let refusal = trust.refusal { throw refusal }
        // Renew before any peer connects: after a holiday all certificates may have expired, and this node's must come
        // first.
        if trust.maySign, trust.isRenewalDue(at: clock.wallMilliseconds) { try trust.renewOwn() }
        return trust
    }

    /// Makes the desk that answers PCs that want to join or renew.
    ///
    /// - Throws: ``ClinicSyncError`` of code `corrupt`, or those of reading files.
    func makeDesk() throws -> EnrollmentDesk {
        try EnrollmentDesk(
            store: self.trust,
            wallClock: { [clock = self.settings.clock] in clock.wallMilliseconds },
            monotonic: { [clock = self.settings.clock] in clock.now.monotonic },
            members: EnrollmentDesk.Members(
                isNameTaken: { [list = MemberList(state: self.state, register: self.register)] name, node in
                    list.isTaken(name, besides: node)
                },
                isKnown: { [register] in register.known.present.contains($0) }
            ),
            surroundings: { [state] in
                let host = state.hostOrSelf
                return EnrollmentDesk.Surroundings(
                    clinicName: state.identity.clinicName,
                    hostID: host.id,
                    hostAddresses: host.addresses
                )
            }
        )
    }

    /// Learns the members from the tables, before anything depends on their number.
    func learnMembers() async throws {
        let look = TrustLook(trust: self.trust, register: self.register)
        let findings = try await self.storage.read { reader in
            var places = TrustLook.Places()
            return try look.look(reader, from: &places)
        }
        self.register.note(unsigned: findings.facts, isWhole: true)
    }

    /// Makes the part that gives the core the members' addresses.
    func makeMemberHints() -> MemberHints {
        MemberHints(
            own: self.state.id,
            ownAddresses: { [state] in state.listen.map { AdvertisedAddresses.own(listening: $0) } ?? [] },
            isRevoked: { [trust] in trust.isRevoked($0) },
            found: { [inbox] in inbox.post(.peersFound($0)) }
        )
    }

    /// Makes the exchange that synchronises trust and tables.
    func makeExchange(hints: MemberHints) -> TrustExchange {
        TrustExchange(
            TrustExchange.Surroundings(
                trust: self.trust,
                register: self.register,
                storage: self.storage,
                wrote: self.wrote,
                ownRow: { [state, trust] in
                    AgentTables.Node(
                        id: state.id,
                        name: state.name,
                        addresses: Array(state.addresses.prefix(AgentTables.Node.addressesMax)),
                        certificate: trust.ownCertificate,
                        softwareVersion: SoftwareVersion.current,
                        maySign: trust.maySign,
                        schemaVersion: Int64(ClinicMigrator.clinic.schemaVersion),
                        aliveAt: TrustExchange.day(of: state.clock.wallMilliseconds)
                    )
                },
                membersChanged: { [inbox, register] in
                    inbox.post(.membersChanged(register.known))
                    hints.read(MemberList.rows(of: register))
                },
                isHost: { [state] in state.isHost },
                judgedEpoch: { [epochs] in epochs.judged($0) },
                wallClock: { [state] in state.clock.wallMilliseconds },
                monotonic: { [state] in state.clock.now.monotonic },
                renamed: { [directory = self.settings.directory, state] name in
                    var identity = try directory.identity()
                    identity.nodeName = name
                    try directory.write(identity)
                    state.renamed(name)
                },
                logger: self.settings.logger
            )
        )
    }

    /// Makes the task that renews the certificate.
    func makeRenewal(exchange: TrustExchange, transport: PeerTransport) -> CertificateRenewal {
        let known =
            [self.state.identity.host?.address].compactMap { $0 } + self.settings.configuration.peers.map(\.description)
        let own = self.state.id
        return CertificateRenewal(
            trust: self.trust,
            group: self.settings.group,
            isLANOnly: self.settings.configuration.isLANOnly,
            clock: self.settings.clock,
            pace: self.settings.renewalPace,
            logger: self.settings.logger,
            addresses: { [register, trust] in
                let rows = MemberList.rows(of: register).filter { $0.id != own && !trust.isRevoked($0.id) }
                let signers = rows.filter(\.maySign).flatMap(\.addresses).shuffled()
                var seen = Set<String>()
                // The order is: nodes that may sign, then nodes that this node has always known, then all others.
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
