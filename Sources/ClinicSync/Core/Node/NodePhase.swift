/// The node's life.
enum NodePhase: Sendable, Hashable {
    /// The machine was made. Can transition to `starting`, `stopping`.
    case created
    /// The store collects what programs wrote while the node did not run. The node answers no peer yet, because its
    /// hello must carry the right vector. Entered with `started`. Can transition to `running`, `stopping`.
    case starting
    /// The node does everything. Entered when the first collection is complete. Can transition to `stopping`.
    case running
    /// Connections are closed; the node waits for the store's last replies. Can transition to `stopped`.
    case stopping
    /// The node does nothing more. Final.
    case stopped
}
