import ClinicSyncCore

extension NodeStatusControl {
    /// Makes the part that reports the status of the node of `run`.
    init(of run: NodeRun, transport: PeerTransport, exchange: TrustExchange, members: ClinicMembers) {
        self.init(
            state: run.state,
            storage: run.storage,
            register: run.register,
            security: SecurityReport(
                directory: run.settings.directory,
                trust: run.trust,
                exchange: exchange,
                transport: transport
            ),
            events: run.events,
            latencies: run.latencies,
            values: run.settings.metrics,
            epochs: run.epochs,
            inbox: run.inbox,
            members: members,
            verdicts: VerdictLog(),
            startedAt: run.settings.clock.now.monotonic
        )
    }
}
