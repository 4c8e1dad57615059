package import ClinicSyncModel

/// What a sub-machine asks the root machine to do.
///
/// Sub-machines do not call one another. They return directives, and ``NodeStateMachine`` carries them out in their
/// order. So this list shows every way in which one part of the core can reach another.
package enum Directive: Sendable, Hashable {
    /// Pass on the effect.
    case effect(Effect)
    /// Send the message, if the connection is still a link; otherwise nobody waits for the message.
    case send(ConnectionID, Message)
    /// Close the connection, if it is still there.
    case close(ConnectionID, CloseReason)

    // MARK: Peers

    /// Judge the first message of a connection: call ``PeersStateMachine/welcome(_:on:greeting:at:)``.
    case judge(Hello, ConnectionID)
    /// The connection is a link from now on.
    case established(PeerIntroduction)
    /// Route a linked peer's message.
    case deliver(Message, ConnectionID, NodeID)
    /// The link is gone.
    case lost(ConnectionID)
    /// Look which addresses are to be dialled now.
    case dial

    // MARK: Data

    /// Give the store the request as soon as no collection is in progress.
    case submit(StorageRequest)
    /// Collect what programs, or the store itself, wrote into tables.
    case collect
    /// No collection and no sweep is in progress any more. If the node was starting, it is ready now. Then call
    /// ``DataStateMachine/opened(collectAgain:_:)``.
    case opened(collectAgain: Bool)
    /// A sweep is done and its rows are collected: call ``DataStateMachine/finish(_:clients:_:)``.
    case swept(FinishedSweep)
    /// This node has applied batches.
    case applied
    /// This is the newest stamp of changes that were applied; its clock may be wrong.
    case stamped(HybridTimestamp)
    /// Rows of the category `user` changed.
    case usersChanged

    // MARK: Host

    /// Tell the election whom this host has asked to take its place; `nil`: nobody any more.
    case nameHeir(NodeID?)
    /// This node's bookkeeping is damaged beyond repair, or its store cannot write, so another node should be host.
    case unfit
    /// Tell the election whether another program's write transaction or the disk keeps the store from writing.
    case storeBlocked(Bool)
    /// Look whether the successor has applied everything that this host has.
    case reviewHandOver
    /// Stop the node.
    case stop
}

extension [Effect] {
    /// Directives that pass on these effects.
    var directives: [Directive] { self.map { .effect($0) } }
}
