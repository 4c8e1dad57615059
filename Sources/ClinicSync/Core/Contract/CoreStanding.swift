/// What a node is to its clinic at the moment: the small part of the status that the node itself reads all the time.
///
/// It costs the same with one peer as with hundreds, so the driver takes it after every turn. ``CoreStatus`` costs more
/// with every peer and is made only for those who ask.
package struct CoreStanding: Sendable, Hashable {
    /// The node's role.
    package var role: CoreStatus.Role
    /// The host's term.
    package var term: UInt64
    /// The host.
    package var host: CoreStatus.Host?
    /// The offset that is added to this PC's wall time to get the clinic's time.
    package var clockOffsetMilliseconds: Int64
    /// The state that this node gets in place of history; `nil` when it gets none.
    package var stateTransfer: CoreStatus.StateTransfer?
    /// Whether SQLite cannot read a page of the database file, and building indexes again did not help.
    package var hasDamagedFile: Bool
}
