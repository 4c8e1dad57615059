package import ClinicSyncModel

/// Who sent chunks: what the store must know to choose between two contents under one name.
///
/// A batch carries no signature, so any member can send chunks under another member's name. The author's own connection
/// says what is true. Until a batch is applied, its author replaces what others sent under its name, and a client takes
/// its host's word. `docs/design/0012-poison.md` has the rule.
package struct ChunkSender: Sendable, Hashable {
    /// The node in the certificate of the connection.
    package var node: NodeID
    /// Whether the node is the receiver's host.
    package var isHost: Bool

    /// Makes a sender.
    package init(node: NodeID, isHost: Bool) {
        self.node = node
        self.isHost = isHost
    }

    /// Whether what the sender sends under the name of this batch replaces other content that is not applied.
    package func mayReplace(_ batch: BatchID) -> Bool { self.isHost || batch.origin.node == self.node }
}
