import NIOConcurrencyHelpers

/// The nodes of a clinic and the task that runs them.
final class TestMembers: Sendable {
    private let nodes = NIOLockedValueBox<[TestNode]>([])
    private let arrivals: AsyncStream<TestNode>
    private let arrive: AsyncStream<TestNode>.Continuation

    init() {
        (self.arrivals, self.arrive) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(TestClinic.nodesMax))
    }

    /// All nodes in the order in which they were added.
    var all: [TestNode] { self.nodes.withLockedValue { $0 } }

    /// Adds a node, whose runs become child tasks of ``run()``.
    func add(_ node: TestNode) {
        self.nodes.withLockedValue { nodes in
            precondition(nodes.count < TestClinic.nodesMax, "a clinic has at most \(TestClinic.nodesMax) nodes")
            nodes.append(node)
        }
        self.arrive.yield(node)
    }

    /// Runs the nodes that are added; returns after ``end()``, when all have ended.
    func run() async {
        await withDiscardingTaskGroup { tasks in
            for await node in self.arrivals { tasks.addTask { await node.run() } }
        }
    }

    /// Ends all nodes at once.
    func end() {
        self.arrive.finish()
        for node in self.all { node.end() }
    }
}
