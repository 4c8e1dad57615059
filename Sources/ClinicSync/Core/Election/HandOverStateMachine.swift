package import ClinicSyncModel

/// The orderly change of the host: when the host stops, or when an administrator wants another host.
///
/// The host picks a successor, waits until the successor has applied everything that the host has, and asks it to claim
/// the next term. The administrator's command waits for its answer on the node where it was given, host or not.
package struct HandOverStateMachine: Sendable, Hashable {
    /// Where the host's hand-over stands.
    package enum State: Sendable, Hashable {
        /// This node hands nothing over. Can transition to `waiting`.
        case idle
        /// The successor does not have everything yet. Entered by ``begin(with:isShutdown:)``. Can transition to
        /// `asked`, `idle`.
        case waiting(Successor)
        /// The successor was asked to claim. Can transition to `idle` when it is host, is gone, or takes too long.
        case asked(Successor)
    }

    /// The node that shall be host next.
    package struct Successor: Sendable, Hashable {
        /// The connection with it.
        package var connection: ConnectionID
        /// Whether this node stops as soon as the successor is host.
        package var isShutdown: Bool

        /// Makes a successor.
        package init(connection: ConnectionID, isShutdown: Bool) {
            self.connection = connection
            self.isShutdown = isShutdown
        }
    }

    /// A command that waits until its node is host.
    private struct Wish: Sendable, Hashable {
        let request: RequestID
        let node: NodeID
        /// How long the command has waited.
        var waited: Duration = .zero
    }

    /// Where the host's hand-over stands.
    package private(set) var state: State = .idle
    private var wish: Wish?

    /// Starts without a hand-over.
    package init() {}

    // MARK: - The host's part

    private var successor: Successor? {
        switch self.state {
        case .idle: nil
        case .waiting(let successor), .asked(let successor): successor
        }
    }

    /// Whether the node stops as soon as its successor is host.
    package var isShutdown: Bool { self.successor?.isShutdown == true }

    /// Whether the successor was asked and has not claimed yet.
    package var isAsked: Bool {
        if case .asked = self.state { true } else { false }
    }

    /// The connection with a successor that does not have everything yet.
    package var awaited: ConnectionID? {
        if case .waiting(let successor) = self.state { successor.connection } else { nil }
    }

    /// Begins to hand over to the peer at the other end of a connection.
    ///
    /// Takes the place of a hand-over in progress. A stopping host waits only a moment.
    package mutating func begin(with connection: ConnectionID, isShutdown: Bool) -> [Directive] {
        self.state = .waiting(Successor(connection: connection, isShutdown: isShutdown))
        let limit = isShutdown ? CoreLimits.handOverLimit : CoreLimits.transferLimit
        return [.effect(.setTimer(.handOver, after: limit)), .reviewHandOver]
    }

    /// The successor has applied everything that this host has, so no change goes back to the former host later.
    package mutating func covered(by node: NodeID) -> [Directive] {
        guard case .waiting(let successor) = self.state else { return [] }
        self.state = .asked(successor)
        return [.nameHeir(node), .effect(.send([successor.connection], .handOver))]
    }

    /// The successor took too long: the hand-over is over, and a stopping node stops without a successor.
    package mutating func timedOut() -> [Directive] {
        guard let successor = self.successor else { return [] }
        self.state = .idle
        return [.nameHeir(nil)] + (successor.isShutdown ? [.stop] : [])
    }

    /// A link is gone, perhaps the successor's.
    package mutating func lost(_ id: ConnectionID) -> [Directive] {
        self.successor?.connection == id ? self.timedOut() : []
    }

    /// A client asks this host to hand over to a peer.
    ///
    /// When the host cannot, it says nothing: the client asks again, and its own timer ends the wish.
    package mutating func requested(to peer: LinkedPeer?, _ context: NodeContext) -> [Directive] {
        // Race: this node is host no more. A hand-over that begins now would take place when it is host again.
        guard context.isHost, let peer, HandOverStateMachine.refusal(of: peer) == nil else { return [] }
        return self.handOver(to: peer)
    }

    /// Begins to hand over to a peer, or asks the successor again that was asked already.
    private mutating func handOver(to peer: LinkedPeer) -> [Directive] {
        switch self.state {
        case .waiting(let successor) where successor.connection == peer.connection: [.reviewHandOver]
        case .asked(let successor) where successor.connection == peer.connection:
            // Race: the successor's store was writing a term when it was asked.
            [.effect(.send([peer.connection], .handOver))]
        case .idle, .waiting, .asked: self.begin(with: peer.connection, isShutdown: false)
        }
    }

    /// Why the host cannot hand over to a peer; `nil` when it can.
    private static func refusal(of peer: LinkedPeer?) -> HostTransfer? {
        guard let peer else { return .unknownNode }
        return peer.candidacy.priority > 0 ? nil : .neverHost
    }

    // MARK: - The administrator's command

    /// An administrator wants another host: this host hands over, a client asks its host to.
    ///
    /// - Parameters:
    ///   - node: The node that shall be host.
    ///   - request: The command.
    ///   - reign: The reign of the present host; `nil` when there is none.
    ///   - peer: The wished node, when it has a link with this node.
    ///   - context: What may be read of the node.
    /// - Returns: What is to be done.
    package mutating func commanded(
        _ node: NodeID,
        by request: RequestID,
        reign: Reign?,
        peer: LinkedPeer?,
        _ context: NodeContext
    ) -> [Directive] {
        if let reign, reign.host == node { return [HandOverStateMachine.answer(request, .done(term: reign.term))] }
        if reign != nil, context.isHost {
            guard let peer, HandOverStateMachine.refusal(of: peer) == nil else {
                let refusal = HandOverStateMachine.refusal(of: peer) ?? .unknownNode
                return [HandOverStateMachine.answer(request, refusal)]
            }
            return self.handOver(to: peer) + self.wait(for: node, request: request)
        }
        guard reign != nil, let host = context.host else { return [HandOverStateMachine.answer(request, .noHost)] }
        return [.effect(.send([host], .transferRequest(node)))] + self.wait(for: node, request: request)
    }

    /// The node that a waiting command wants as host.
    package var wished: NodeID? { self.wish?.node }

    /// Waits until `node` is host; an earlier command that still waits is answered as timed out.
    package mutating func wait(for node: NodeID, request: RequestID) -> [Directive] {
        let earlier = self.wish.map { HandOverStateMachine.answer($0.request, .timedOut) }
        self.wish = Wish(request: request, node: node)
        return (earlier.map { [$0] } ?? []) + [.effect(.setTimer(.transfer, after: CoreLimits.transferRepeat))]
    }

    /// The command has waited for another moment: asks again, or answers that it took too long.
    ///
    /// Whoever was asked may have been unable to follow just then: the host when it had no link with the wished node, this node
    /// when it had no host.
    ///
    /// - Parameters:
    ///   - peer: The node ``wished``, when it has a link with this node.
    ///   - context: What may be read of the node.
    /// - Returns: What is to be done.
    package mutating func wishWaited(peer: LinkedPeer?, _ context: NodeContext) -> [Directive] {
        guard let node = self.wish?.node, let waited = self.wish?.waited else { return [] }
        guard waited + CoreLimits.transferRepeat < CoreLimits.transferLimit else { return self.wishTimedOut() }
        self.wish?.waited = waited + CoreLimits.transferRepeat
        let timer = Directive.effect(.setTimer(.transfer, after: CoreLimits.transferRepeat))
        if context.isHost { return self.requested(to: peer, context) + [timer] }
        guard let host = context.host else { return [timer] }
        return [.effect(.send([host], .transferRequest(node))), timer]
    }

    /// The command waited for too long, or the node stops.
    package mutating func wishTimedOut() -> [Directive] {
        guard let wish = self.wish else { return [] }
        self.wish = nil
        return [HandOverStateMachine.answer(wish.request, .timedOut)]
    }

    /// Another node is host, or the same node in a new term.
    ///
    /// - Parameters:
    ///   - reign: The host's reign.
    ///   - isHost: Whether this node is the host.
    /// - Returns: What is to be done.
    package mutating func hostChanged(to reign: Reign, isHost: Bool) -> [Directive] {
        var actions: [Directive] = []
        if !isHost, let successor = self.successor, !successor.isShutdown {
            self.state = .idle
            actions.append(.effect(.cancelTimer(.handOver)))
        }
        guard let wish = self.wish, wish.node == reign.host else { return actions }
        self.wish = nil
        return actions + [
            .effect(.cancelTimer(.transfer)), HandOverStateMachine.answer(wish.request, .done(term: reign.term)),
        ]
    }

    /// The answer to a command.
    private static func answer(_ request: RequestID, _ transfer: HostTransfer) -> Directive {
        .effect(.reply(request, .hostTransferred(transfer)))
    }
}
