package import ClinicSyncCore

/// Observes a run and reports violations with ``SimulatedWorld/fail(_:)``.
///
/// A checker sees every step and changes nothing.
package protocol SimulationChecker: AnyObject {
    /// A process starts with `state`.
    func started(_ node: SimulatedNode, _ state: StoreState, in world: SimulatedWorld) throws
    /// A core turned an input into effects, which are carried out next.
    func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws
    /// A store carried out a request. The core does not know it yet.
    func storeAnswered(
        _ request: StorageRequest,
        _ reply: StorageReply,
        on node: SimulatedNode,
        in world: SimulatedWorld
    ) throws
    /// A PC lost its power, and everything that was not on its disk.
    func powerLost(_ node: SimulatedNode, in world: SimulatedWorld) throws
    /// Other files were put in the place of a PC's.
    ///
    /// - Parameters:
    ///   - node: the PC, which does not run.
    ///   - isCopy: whether the files were last opened at another place, so that the node must notice.
    ///   - world: the run.
    /// - Throws: what SQLite reports.
    func filesReplaced(of node: SimulatedNode, isCopy: Bool, in world: SimulatedWorld) throws
    /// The clinic reports that all nodes are equal.
    func finished(_ world: SimulatedWorld) throws
}

extension SimulationChecker {
    /// Does nothing.
    package func started(_ node: SimulatedNode, _ state: StoreState, in world: SimulatedWorld) throws {}
    /// Does nothing.
    package func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
    }
    /// Does nothing.
    package func storeAnswered(
        _ request: StorageRequest,
        _ reply: StorageReply,
        on node: SimulatedNode,
        in world: SimulatedWorld
    ) throws {}
    /// Does nothing.
    package func powerLost(_ node: SimulatedNode, in world: SimulatedWorld) throws {}
    /// Does nothing.
    package func filesReplaced(of node: SimulatedNode, isCopy: Bool, in world: SimulatedWorld) throws {}
    /// Does nothing.
    package func finished(_ world: SimulatedWorld) throws {}
}

/// All checkers of a run.
enum CheckerFactory {
    static func all(
        _ options: SimulationOptions,
        workloads: [any SimulationWorkload]
    ) -> [any SimulationChecker] {
        [
            // What is damaged cannot be asked anything, so this one comes first.
            DiskChecker(), HonestyChecker(), VectorChecker(), CreditChecker(options), EchoChecker(),
            FailureChecker(options),
            WorkloadChecker(workloads), DurabilityChecker(), ConvergenceChecker(options), ReignChecker(),
            IdentityChecker(), EventChecker(), PeopleChecker(),
        ]
    }
}
