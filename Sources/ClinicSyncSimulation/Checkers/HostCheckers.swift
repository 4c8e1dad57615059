import ClinicSyncCore
import ClinicSyncModel

/// No term has two hosts, no node claims a term twice, and who slept through its lease says nothing as host.
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
            .revocation, .transferRequest, .loginRequest:
            false
        }
    }
}

// Exactly one host in each group of PCs that reach one another.
extension SimulatedWorld {
    /// Within this time after anything has changed each group has one host.
    static let hostLimit: Duration = .seconds(3)

    /// Looks whether each group that has been left in peace long enough has one host.
    func lookForHosts() {
        self.schedule(.look, after: .milliseconds(100))
        guard self.now - self.restlessUntil > SimulatedWorld.hostLimit,
            let groups = self.network.groups(at: self.now)
        else { return }
        for group in groups {
            guard let trouble = self.hostTrouble(in: group) else { continue }
            let names = group.map { self.nodes[$0].name }.joined()
            self.fail("\(SimulatedWorld.hostLimit) after the last change among \(names): \(trouble)")
        }
    }

    /// What is wrong with the hosts of PCs that reach one another; `nil` when nothing is.
    func hostTrouble(in group: [Int]) -> String? {
        let running = group.map { self.nodes[$0] }.filter(\.isRunning)
        let moment = Now(monotonic: self.now, wallMilliseconds: 0)
        let hosts = running.filter { $0.process?.machine.status(at: moment).role == .host }
        // Nobody may be host.
        if hosts.isEmpty, running.allSatisfy({ $0.configuration.priority == 0 }) { return nil }
        guard let host = hosts.first, hosts.count == 1 else {
            return "the hosts are \(hosts.map(\.name).joined(separator: ", "))."
        }
        for node in running where node.index != host.index {
            guard let status = node.process?.machine.status(at: moment) else { continue }
            if status.role != .client || status.host?.id != host.origin.node {
                return "\(node.name) is \(status.role.rawValue), not a client of \(host.name)"
            }
        }
        return nil
    }

    /// The clinic is not at rest before `time`.
    func disturb(until time: Duration) { self.restlessUntil = max(self.restlessUntil, time) }
}

extension SimulatedNetwork {
    /// The PCs by groups: all within one reach one another, nobody reaches anybody of another.
    ///
    /// `nil` while there are no such groups, because something is slow or open in one direction only.
    func groups(at time: Duration) -> [[Int]]? {
        var groups: [[Int]] = []
        for node in self.paths.indices {
            if self.paths[node].contains(where: { $0.slowUntil > time }) { return nil }
            let group = self.paths.indices.filter { $0 == node || !self.isSevered(node, $0, at: time) }
            for other in self.paths.indices where other != node {
                let isOneWay =
                    self.isBlocked(from: node, to: other, at: time) != self.isBlocked(from: other, to: node, at: time)
                if isOneWay { return nil }
            }
            if let known = groups.first(where: { $0.contains(node) }) {
                if known != group { return nil }
            } else {
                groups.append(group)
            }
        }
        return groups
    }
}
