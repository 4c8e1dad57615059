import ClinicSyncCore

extension NodeStatusControl {
    /// Makes the part that reports the status of the node of `run`.
    init(of run: NodeRun, transport: PeerTransport, exchange: TrustExchange, driver: NodeDriver) {
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
            members: ClinicMembers(of: run, driver: driver),
            verdicts: VerdictLog(),
            startedAt: run.settings.clock.now.monotonic
        )
    }
}
