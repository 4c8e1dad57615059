import ClinicSyncCore
import ClinicSyncModel

/// Checks that each group of connected PCs has exactly one host.
struct HostWatch {
    /// The time after a change within which each group has one host.
    static let limit: Duration = .seconds(3)

    /// The last past or future change after which the clinic needs time to find its host.
    private var restlessUntil: Duration = .zero

    /// Records that the clinic does not settle before `time`.
    mutating func disturb(until time: Duration) { self.restlessUntil = max(self.restlessUntil, time) }

    /// Whether each group must have its host at `time`.
    func isDue(at time: Duration) -> Bool { time - self.restlessUntil > HostWatch.limit }

    /// The problem with the hosts of connected PCs; `nil` when there is none.
    static func trouble(among nodes: [SimulatedNode], at time: Duration) -> String? {
        let running = nodes.filter(\.isRunning)
        let moment = Now(monotonic: time, wallMilliseconds: 0)
        let hosts = running.filter { $0.process?.machine.standing(at: moment).role == .host }
        // No PC may be host.
        if hosts.isEmpty, running.allSatisfy({ $0.configuration.priority == 0 }) { return nil }
        guard let host = hosts.first, hosts.count == 1 else {
            return "the hosts are \(hosts.map(\.name).joined(separator: ", "))."
        }
        for node in running where node.index != host.index {
            guard let standing = node.process?.machine.standing(at: moment) else { continue }
            if standing.role != .client || standing.host?.id != host.origin.node {
                return "\(node.name) is \(standing.role.rawValue), not a client of \(host.name)"
            }
        }
        return nil
    }
}

extension SimulatedWorld {
    /// Checks that each group without recent changes has one host.
    func lookForHosts() {
        self.schedule(.look, after: .milliseconds(100))
        // A suspect may keep the others from their host; what it left may make them connect again.
        guard self.phase.suspect == nil else { return }
        guard self.hosts.isDue(at: self.now), let groups = self.network.groups(at: self.now) else { return }
        for group in groups {
            guard let trouble = self.hostTrouble(in: group) else { continue }
            let names = group.map { self.nodes[$0].name }.joined()
            self.fail("\(HostWatch.limit) after the last change among \(names): \(trouble)")
        }
    }

    /// The problem with the host; `nil` when there is exactly one host and all others follow it.
    package func hostTrouble() -> String? { self.hostTrouble(in: self.members.map(\.index)) }

    /// The problem with the hosts of connected PCs; `nil` when there is none.
    func hostTrouble(in group: [Int]) -> String? {
        HostWatch.trouble(among: group.map { self.nodes[$0] }, at: self.now)
    }

    /// Records that the clinic does not settle before `time`.
    func disturb(until time: Duration) { self.hosts.disturb(until: time) }
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
