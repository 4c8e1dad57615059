import ClinicSyncCore
import ClinicSyncModel

/// No term has two hosts, no node claims a term twice, and a node that slept through its lease sends nothing as host.
final class ReignChecker: SimulationChecker {
    private struct Claim: Hashable {
        let term: UInt64
        let node: NodeID
    }

    private var claims: Set<Claim> = []
    private var lastHandled: [Int: Duration] = [:]

    func started(_ node: SimulatedNode, _ state: StoreState, in world: SimulatedWorld) throws {
        self.lastHandled[node.index] = nil
    }

    func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
        for case .notify(.hostChanged(let host?, _, let term)) in effects where host == node.origin.node {
            // Nothing comes after the largest term, which a hostile member may have claimed: a node claims it again.
            guard term < Bounds.termMax else { continue }
            let isNew = self.claims.insert(Claim(term: term, node: host)).inserted
            if !isNew { world.fail("\(node.name) is host in term \(term) a second time") }
        }
        let slept = world.now - (self.lastHandled[node.index] ?? world.now)
        self.lastHandled[node.index] = world.now
        guard slept >= node.configuration.silenceLimit else { return }
        for case .send(_, let message) in effects where self.isHosts(message) {
            world.fail("\(node.name) slept \(slept) and sends \(Summary.of(message)) as host")
        }
    }

    private func isHosts(_ message: Message) -> Bool {
        switch message {
        case .verifyRequest, .syncReport, .digests, .handOver, .loginReply: true
        case .hostReport(let report): report.role == .host
        case .hello(let hello): hello.hostReport.role == .host
        case .goodbye, .ping, .pong, .chunk, .acknowledge, .rowHashes, .rowStates, .syncRequest, .verifyReport,
            .revocation, .memberProof, .transferRequest, .loginRequest, .state, .stateRanges,
            .stateWants:
            false
        }
    }
}
