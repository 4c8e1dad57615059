import ClinicSyncCore
import DequeModule

/// The time that a PC needs for the events of a run, so that a PC may be overloaded.
package struct ProcessingCost: Sendable, Hashable {
    /// For a message, a timer or a reply.
    package var message: Duration
    /// For sending a message to one peer.
    package var send: Duration
    /// For one side of a handshake.
    package var handshake: Duration
    /// For the start of a process.
    package var start: Duration
    /// A dial that takes longer fails.
    package var dialLimit: Duration = .seconds(5)
    /// How many processors all PCs share, as on a machine that runs many nodes; `nil`: each PC has one for itself.
    package var cores: Int?

    /// Makes costs.
    package init(message: Duration, send: Duration, handshake: Duration, start: Duration, cores: Int? = nil) {
        self.message = message
        self.send = send
        self.handshake = handshake
        self.start = start
        self.cores = cores
    }

    /// PCs that share two processors, as one machine that runs them all has it.
    ///
    /// A message takes about as long as measured, a handshake 3 ms at each end.
    package static let shared = ProcessingCost(
        message: .microseconds(150),
        send: .microseconds(30),
        handshake: .milliseconds(3),
        start: .milliseconds(150),
        cores: 2
    )

    /// Everything takes four times as long as in ``shared``: fifty PCs load their processors as two hundred would.
    package static let crowded = ProcessingCost(
        message: .microseconds(600),
        send: .microseconds(120),
        handshake: .milliseconds(12),
        start: .milliseconds(600),
        cores: 2
    )

    /// The time for an event.
    func time(for event: SimulationEvent) -> Duration {
        switch event {
        case .accept, .opened: self.handshake
        case .start: self.start
        case .timer, .storeReplies, .storeLocked, .answered, .dialFailed, .notice, .poll, .deliver, .closed:
            self.message
        case .storeExecutes, .program, .fault, .look, .change, .served, .dialTimedOut: .zero
        }
    }
}

/// The processors of the PCs, each with the events that wait for it.
///
/// A PC works for one event at a time, in the order of their coming. PCs that share processors take turns.
struct SimulatedProcessors {
    private struct Processor {
        var events: Deque<SimulationEvent> = []
        /// Work that earlier events caused: messages to peers.
        var debt: Duration = .zero
        /// Whether the PC works, or waits for a processor.
        var isBusy = false
    }

    /// The costs.
    let cost: ProcessingCost
    /// Everything takes so many times as long.
    var slowdown = 1
    private var processors: [Processor]
    private var idleCores: Int
    private var waiting: Deque<Int> = []

    /// Makes idle processors.
    init(_ cost: ProcessingCost, nodes: Int) {
        self.cost = cost
        self.processors = Array(repeating: Processor(), count: nodes)
        self.idleCores = cost.cores ?? nodes
    }

    /// Adds the work for messages that a node sends.
    mutating func charge(_ node: Int, sends: Int) { self.processors[node].debt += self.cost.send * sends }

    /// Adds an event to a node's queue.
    mutating func add(_ event: SimulationEvent, at node: Int) {
        self.processors[node].events.append(event)
        self.wait(node)
    }

    /// Removes the event for which the node has worked.
    mutating func finish(_ node: Int, holdsCore: Bool) -> SimulationEvent? {
        if holdsCore { self.idleCores += 1 }
        self.processors[node].isBusy = false
        return self.processors[node].events.popFirst()
    }

    /// A suspended node gives its processor back.
    mutating func release() { self.idleCores += 1 }

    /// The node goes on with its next event.
    mutating func wait(_ node: Int) {
        guard !self.processors[node].isBusy, !self.processors[node].events.isEmpty else { return }
        self.processors[node].isBusy = true
        self.waiting.append(node)
    }

    /// Returns the nodes that begin to work now, each with the time that it needs.
    mutating func dispatch() -> [(node: Int, time: Duration)] {
        var begun: [(Int, Duration)] = []
        while self.idleCores > 0, let node = self.waiting.popFirst() {
            self.idleCores -= 1
            let work = self.processors[node].events.first.map { self.cost.time(for: $0) } ?? .zero
            begun.append((node, (work + self.processors[node].debt) * self.slowdown))
            self.processors[node].debt = .zero
        }
        return begun
    }
}

/// What makes the PCs of a run slow.
struct SimulatedLoad {
    private let world: SimulatedWorld

    init(_ world: SimulatedWorld) { self.world = world }

    /// A suspended PC handles an event when it wakes.
    func postpone(_ event: SimulationEvent, at node: SimulatedNode) {
        if case .served(let index, true) = event {
            self.world.timeline.processors?.release()
            self.world.schedule(.served(node: index, holdsCore: false), at: node.pausedUntil)
            return self.dispatch()
        }
        self.world.schedule(event, at: node.pausedUntil)
    }

    /// Whether the event waits for the PC's processor, and is handled later.
    func isQueued(_ event: SimulationEvent, at node: Int) -> Bool {
        guard let cost = self.world.timeline.processors?.cost, cost.time(for: event) > .zero else { return false }
        self.world.timeline.processors?.add(event, at: node)
        self.dispatch()
        return true
    }

    /// The PC has worked for an event, which happens now.
    func served(_ node: Int, holdsCore: Bool) throws {
        guard let event = self.world.timeline.processors?.finish(node, holdsCore: holdsCore) else { return }
        try self.world.handle(event)
        self.world.timeline.processors?.wait(node)
        self.dispatch()
    }

    private func dispatch() {
        for (node, time) in self.world.timeline.processors?.dispatch() ?? [] {
            self.world.schedule(.served(node: node, holdsCore: true), after: time)
        }
    }

    /// The other PC's system has accepted the socket, also for a process that is busy or suspended.
    func answered(_ number: Int) throws {
        let link = self.world.network.links[number]
        guard !link.isAbandoned, !link.wasOpened else { return }
        try self.world.give(.dialAnswered(address: link.address), to: link.ends[0].node, process: link.ends[0].process)
    }

    /// The dialling end gives up, if the handshake is not over.
    func dialTimedOut(_ number: Int) {
        let link = self.world.network.links[number]
        guard !link.wasOpened else { return }
        self.world.network.links[number].isAbandoned = true
        let (node, process) = (link.ends[0].node, link.ends[0].process)
        self.world.schedule(.dialFailed(node: node, process: process, address: link.address, .silent), after: .zero)
    }
}
