/// The result of a run.
public struct SimulationResult: Sendable {
    /// The options of the run.
    package var options: SimulationOptions
    /// The violation; `nil` when there was none.
    public var violation: String?
    /// The hash of the whole transcript and of one last random number.
    public var hash: UInt64
    /// The last steps.
    public var transcript: [String]
    /// The number of all steps.
    public var steps: Int
    /// The number of times that each fault happened.
    package var fired: [FaultKind: Int]
    /// The number of transactions that programs committed.
    public var transactions: Int
    /// The time from the last fault until all nodes were equal.
    public var convergence: Duration?

    /// The command that repeats the run.
    public var reproduction: String {
        "CLINICSYNC_SEED=\(self.options.seed) swift test --filter ClinicSyncSimulationTests"
    }
}
