import ClinicSyncCore

/// An event at a time of a run.
enum SimulationEvent {
    /// A timer of the core runs out.
    case timer(node: Int, process: Int, TimerID, generation: UInt64)
    /// A store carries out its next request.
    case storeExecutes(node: Int, process: Int, isRead: Bool)
    /// A store's reply reaches the core.
    case storeReplies(node: Int, process: Int, isRead: Bool)
    /// A store has waited for a program's transaction for long.
    case storeLocked(node: Int, process: Int, since: Duration)
    /// A dial reaches the other end.
    case accept(link: Int)
    /// A client learns that its dial succeeded.
    case opened(link: Int)
    /// A client learns that the other PC has accepted its socket; the node there may not know of it yet.
    case answered(link: Int)
    /// A client learns that its dial failed.
    case dialFailed(node: Int, process: Int, address: String, DialFailure)
    /// The next message of a connection arrives.
    case deliver(link: Int, pipe: Int)
    /// One end of a connection learns that the connection is gone.
    case closed(link: Int, end: Int)
    /// A node notices that a program committed something.
    case notice(node: Int, process: Int)
    /// A node checks for commits whose notice was lost.
    case poll(node: Int, process: Int)
    /// A process starts.
    case start(node: Int)
    /// A program writes.
    case program
    /// A fault happens.
    case fault
    /// The run checks which PCs are host.
    case look
    /// A partition ends.
    case change
    /// A PC's processor has worked for the oldest event of its queue.
    case served(node: Int, holdsCore: Bool)
    /// A dial has taken too long.
    case dialTimedOut(link: Int)
}
