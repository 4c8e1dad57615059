/// Who waits for an answer of this node: for a sync, for a login.
package enum Requester: Sendable, Hashable {
    /// A person or program on this PC.
    case command(RequestID)
    /// A peer, which numbers its own requests.
    case peer(ConnectionID, id: UInt64)

    /// The connection over which a peer asked; `nil` for a command.
    package var connection: ConnectionID? {
        switch self {
        case .command: nil
        case .peer(let id, _): id
        }
    }
}
