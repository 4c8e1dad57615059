package import ClinicSyncModel
import OrderedCollections

/// Finds nodes whose identity two processes carry: a cloned disk, a copied directory.
///
/// Each process draws a run id when it starts and says it in its hello. A node that starts again has a new run id, and
/// nobody hears the old one again. So a run id that comes back after another one took its place belongs to a second
/// process.
package struct RunWatch: Sendable, Hashable {
    /// The judgement of a run id.
    package enum Verdict: Sendable, Hashable {
        /// As far as this node can tell, one process has the identity.
        case single
        /// A second process has the identity. `isNews`: that was not reported during the last ``tellInterval``.
        case outlived(isNews: Bool)
    }

    private struct Runs: Sendable, Hashable {
        var current: UInt64
        var past: [UInt64] = []
        var toldAt: Duration?
        var seenAt: Duration?
    }

    /// The time between two reports to operators and to both processes.
    package static let tellInterval: Duration = .seconds(600)
    /// How long a node counts as duplicate after a second process was heard.
    package static let memory: Duration = .seconds(900)
    /// Run ids remembered of a node; an older one counts as new when it comes back.
    static let pastMax = 8
    /// Nodes of which run ids are remembered.
    static let nodesMax = 1_024

    private var nodes: OrderedDictionary<NodeID, Runs> = [:]

    /// The run id of a process, made of the seed that each process draws; never 0.
    package static func runID(seed: UInt64) -> UInt64 {
        var generator = SplitMix64(seed: ~seed)
        return max(generator.next(), 1)
    }

    /// Starts without any run id.
    package init() {}

    /// Judges the run id in a hello; 0 means that the peer has none.
    package mutating func heard(_ run: UInt64, of node: NodeID, at time: Duration) -> Verdict {
        guard run != 0 else { return .single }
        guard var runs = self.nodes[node] else {
            if self.nodes.count >= RunWatch.nodesMax { self.nodes.removeFirst() }
            self.nodes[node] = Runs(current: run)
            return .single
        }
        defer { self.nodes[node] = runs }
        guard run != runs.current else { return .single }
        guard runs.past.contains(run) else {
            runs.past.append(runs.current)
            if runs.past.count > RunWatch.pastMax { runs.past.removeFirst() }
            runs.current = run
            return .single
        }
        runs.seenAt = time
        let isNews = runs.toldAt.map { time - $0 >= RunWatch.tellInterval } ?? true
        if isNews { runs.toldAt = time }
        return .outlived(isNews: isNews)
    }

    /// The nodes whose identity two processes carried during the last ``memory``.
    package func doubles(at time: Duration) -> [NodeID] {
        self.nodes.elements.filter { $0.value.seenAt.map { time - $0 < RunWatch.memory } ?? false }.map(\.key)
    }
}
