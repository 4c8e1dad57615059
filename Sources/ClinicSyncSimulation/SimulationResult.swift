/// What a run came to.
public struct SimulationResult: Sendable {
    /// What the run depended on.
    package var options: SimulationOptions
    /// What was wrong; `nil` when everything held.
    public var violation: String?
    /// The hash of the whole transcript and of one last random number.
    public var hash: UInt64
    /// The last steps.
    public var transcript: [String]
    /// Steps in all.
    public var steps: Int
    /// How often each fault happened.
    package var fired: [FaultKind: Int]
    /// Transactions that programs committed.
    public var transactions: Int
    /// How long after the last fault everything was equal.
    public var convergence: Duration?

    /// How to repeat the run.
    public var reproduction: String {
        "CLINICSYNC_SEED=\(self.options.seed) swift test --filter ClinicSyncSimulationTests"
    }
}
