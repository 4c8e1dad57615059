extension NodeMemberControl {
    /// Makes the part that lists and changes the members of the node of `run`.
    init(
        of run: NodeRun,
        transport: PeerTransport,
        desk: EnrollmentDesk,
        exchange: TrustExchange,
        others: ClinicMembers
    ) {
        self.init(
            state: run.state,
            storage: run.storage,
            driver: others.driver,
            transport: transport,
            trust: run.trust,
            register: run.register,
            desk: desk,
            exchange: exchange,
            inbox: run.inbox,
            others: others,
            wrote: run.wrote
        )
    }
}

extension NodeTableControl {
    /// Makes the part that compares the tables of the node of `run` with those of the other members.
    init(of run: NodeRun, others: ClinicMembers) {
        self.init(
            storage: run.storage,
            driver: others.driver,
            clock: run.settings.clock,
            inbox: run.inbox,
            others: others,
            wrote: run.wrote
        )
    }
}
