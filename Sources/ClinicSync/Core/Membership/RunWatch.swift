package import ClinicSyncModel
import OrderedCollections

/// Finds out whether two processes carry one identity: a cloned disk, a copied directory.
///
/// Each process draws a run id when it starts and says it in its hello. A node that is started again has a new one, and its
/// old one is never heard again. So an id that comes back after another took its place belongs to a second process.
package struct RunWatch: Sendable, Hashable {
    /// What a hello's run id says.
    package enum Verdict: Sendable, Hashable {
        /// One process, as far as this node can tell.
        case single
        /// A second process lives; `isNews` when that was not said for ``tellInterval``.
        case outlived(isNews: Bool)
    }

    private struct Runs: Sendable, Hashable {
        var current: UInt64
        var past: [UInt64] = []
        var toldAt: Duration?
        var seenAt: Duration?
    }

    /// So often both processes are told, and operators with them.
    package static let tellInterval: Duration = .seconds(600)
    /// A node counts as double for so long after a second process was heard.
    package static let memory: Duration = .seconds(900)
    /// Run ids remembered of a node; a node that is started more often meanwhile is not told from its older selves.
    static let pastMax = 8
    /// Nodes of which run ids are remembered.
    static let nodesMax = 1_024

    private var nodes: OrderedDictionary<NodeID, Runs> = [:]

    /// The run id of a process, of the seed that each process draws anew; never 0.
    package static func runID(seed: UInt64) -> UInt64 {
        var generator = SplitMix64(seed: ~seed)
        return max(generator.next(), 1)
    }

    /// Starts knowing nobody.
    package init() {}

    /// Judges the run id in a hello; 0 says nothing.
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

    /// The nodes as which two processes ran lately.
    package func doubles(at time: Duration) -> [NodeID] {
        self.nodes.elements.filter { $0.value.seenAt.map { time - $0 < RunWatch.memory } ?? false }.map(\.key)
    }
}
