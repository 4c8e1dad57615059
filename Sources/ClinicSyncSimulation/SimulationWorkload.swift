/// What programs of a clinic do, and what must hold of it on every node.
package protocol SimulationWorkload: AnyObject {
    /// One transaction, or a few, of a program.
    func step(_ program: SimulatedProgram) throws
    /// Checks what any node may show at any moment; says what is wrong.
    func checkCommitted(_ node: SimulatedNode) throws -> String?
    /// Checks what every node must show in the end; says what is wrong.
    func checkFinally(_ node: SimulatedNode) throws -> String?
}

extension SimulationWorkload {
    /// Finds nothing wrong.
    package func checkCommitted(_ node: SimulatedNode) throws -> String? { nil }
    /// Finds nothing wrong.
    package func checkFinally(_ node: SimulatedNode) throws -> String? { nil }
}

/// Makes workloads of their names.
enum WorkloadFactory {
    static func make(_ kind: WorkloadKind) -> any SimulationWorkload {
        switch kind {
        case .registration: RegistrationWorkload()
        case .queue: QueueWorkload()
        case .billing: BillingWorkload()
        case .sameRow: SameRowWorkload()
        case .bulk: BulkWorkload()
        case .endOfDay: EndOfDayWorkload()
        case .uniqueClash: UniqueClashWorkload()
        case .sessions: SessionWorkload()
        }
    }
}
