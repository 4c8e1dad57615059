package import ClinicSyncModel
import OrderedCollections

/// The answers to probes on their way to the node that measures.
///
/// A probe is a row that reaches every node as any change does. If every node answered with a row, which also reaches every
/// node, a clinic of `n` nodes would exchange `n * n` messages. So the answers are messages: each client sends its own to its
/// host, and the host sends those that it gets within ``CoreLimits/probeGathering`` in one message to the node that measures.
///
/// Peers of older versions know only rows. The effect ``Effect/recordAnswers(_:)`` asks for rows where such a peer is on the
/// way.
package struct ProbeStateMachine: Sendable, Hashable {
    /// A measurement whose answers this host gathers.
    private struct Probe: Sendable, Hashable {
        var prober: NodeID
        var number: Int64
    }

    private let own: NodeID
    /// The answers that this host has gathered, by the order in which their measurements came.
    private var gathered: OrderedDictionary<Probe, OrderedDictionary<NodeID, Int64>> = [:]

    /// Makes a machine that has gathered nothing.
    package init(own: NodeID) { self.own = own }

    /// This node has applied a probe, and answers it.
    ///
    /// - Parameters:
    ///   - answers: This node's answer.
    ///   - peers: The linked peers.
    ///   - context: What may be read of the node.
    /// - Returns: What is to be done.
    package mutating func answer(
        _ answers: ProbeAnswers,
        peers: [LinkedPeer],
        _ context: NodeContext
    ) -> [Directive] {
        if context.isHost { return self.gather(answers) }
        let next = peers.first { $0.identity.node == answers.prober } ?? peers.first { $0.connection == context.host }
        // Nobody is there who could take the answer: the node that measures counts this one as not connected.
        guard let next else { return [] }
        return [self.pass(answers, to: next)]
    }

    /// A peer sent answers.
    ///
    /// - Parameters:
    ///   - answers: The answers; `nil` when the peer's acknowledgement has none.
    ///   - id: The connection.
    ///   - node: The peer.
    ///   - context: What may be read of the node.
    /// - Returns: What is to be done.
    package mutating func received(
        _ answers: ProbeAnswers?,
        on id: ConnectionID,
        from node: NodeID,
        _ context: NodeContext
    ) -> [Directive] {
        guard var answers else { return [] }
        // Only a host speaks for others.
        if id != context.host {
            answers.answers.removeAll { $0.node != node }
            answers.connected = []
        }
        if answers.prober == self.own { return [.effect(.probeAnswered(answers))] }
        return context.isHost ? self.gather(answers) : []
    }

    /// The time for gathering is over: sends on what was gathered.
    ///
    /// - Parameter peers: The linked peers.
    /// - Returns: What is to be done.
    package mutating func gatheringEnded(peers: [LinkedPeer]) -> [Directive] {
        defer { self.gathered = [:] }
        let connected = peers.map(\.identity.node)
        return self.gathered.compactMap { probe, answers in
            guard let prober = peers.first(where: { $0.identity.node == probe.prober }) else { return nil }
            let gathered = ProbeAnswers(
                prober: probe.prober,
                number: probe.number,
                answers: answers.map { ProbeAnswers.Answer(node: $0, milliseconds: $1) },
                connected: connected
            )
            return self.pass(gathered, to: prober)
        }
    }

    private mutating func gather(_ answers: ProbeAnswers) -> [Directive] {
        let probe = Probe(prober: answers.prober, number: answers.number)
        let isFirst = self.gathered.isEmpty
        guard !answers.answers.isEmpty,
            self.gathered[probe] != nil || self.gathered.count < CoreLimits.probesGatheredMax
        else { return [] }
        for answer in answers.answers { self.gathered[probe, default: [:]][answer.node] = answer.milliseconds }
        return isFirst ? [.effect(.setTimer(.probes, after: CoreLimits.probeGathering))] : []
    }

    private func pass(_ answers: ProbeAnswers, to peer: LinkedPeer) -> Directive {
        guard peer.identity.gathersProbes else { return .effect(.recordAnswers(answers)) }
        return .send(peer.connection, .acknowledge(Acknowledgement(applied: [], creditBytes: 0, probe: answers)))
    }
}
