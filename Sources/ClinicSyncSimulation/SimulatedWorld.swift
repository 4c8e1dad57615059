package import ClinicSyncCore
package import ClinicSyncModel
import ClinicSyncStorage
import DequeModule

/// A clinic in virtual time: nodes, network, disks, clocks, programs and faults, all drawn from one seed.
///
/// Single-threaded and without `async`. The nodes are the production core over the production store; messages travel as
/// bytes through the production codec. A run stops at the first thing that a checker finds wrong.
package final class SimulatedWorld {
    /// Something that happens at a time.
    enum Event {
        /// A timer of the core runs out.
        case timer(node: Int, process: Int, TimerID, generation: UInt64)
        /// A store carries out its next request.
        case storeExecutes(node: Int, process: Int, isRead: Bool)
        /// A store's reply reaches the core.
        case storeReplies(node: Int, process: Int, isRead: Bool)
        /// A dial reaches the other end.
        case accept(link: Int)
        /// A client learns that its dial succeeded.
        case opened(link: Int)
        /// A client learns that its dial failed.
        case dialFailed(node: Int, process: Int, address: String)
        /// The next message of a connection arrives.
        case deliver(link: Int, pipe: Int)
        /// One end of a connection learns that it is gone.
        case closed(link: Int, end: Int)
        /// A node notices that a program committed something.
        case notice(node: Int, process: Int)
        /// A node looks for commits whose notice got lost.
        case poll(node: Int, process: Int)
        /// A process starts.
        case start(node: Int)
        /// A program writes.
        case program
        /// Something goes wrong.
        case fault
        /// It is looked who is host.
        case look
        /// A partition ends.
        case change
    }

    /// What the run depends on.
    package let options: SimulationOptions
    /// All PCs.
    package let nodes: [SimulatedNode]
    /// The run's chance.
    package var random: SimulationRandom
    /// Virtual time since the start.
    package private(set) var now: Duration = .zero
    /// What happened.
    package internal(set) var transcript = Transcript()
    /// What was found wrong, if anything; nothing happens after it.
    package private(set) var violation: String?
    /// How often each fault happened.
    package internal(set) var fired: [FaultKind: Int] = [:]
    /// Transactions that programs committed.
    package internal(set) var transactions = 0
    /// The last change, past or to come, after which the clinic needs time to find its host.
    var restlessUntil: Duration = .zero
    /// The one PC whose disk loses rows, once it has.
    var faultyDisk: Int?
    /// Whether programs write and faults happen.
    package internal(set) var isDisturbed = true

    var network: SimulatedNetwork
    /// Who watches the run; more may be added before the first step.
    package var checkers: [any SimulationChecker] = []
    var workloads: [any SimulationWorkload] = []
    /// Syncs that were asked for and not answered.
    var openSyncs: [RequestID: Int] = [:]
    /// The answers to syncs.
    var syncReports: [RequestID: SyncReport] = [:]
    /// What was decided on logins.
    package private(set) var logins: [RequestID: LoginOutcome] = [:]
    private var lastRequest: UInt64 = 0
    private var events = EventQueue<Event>()

    /// Makes the clinic of `options`; nothing happens before the first step.
    package init(_ options: SimulationOptions) throws {
        self.options = options
        self.random = SimulationRandom(seed: options.seed)
        self.network = SimulatedNetwork(nodes: options.nodes)
        self.nodes = try (0..<options.nodes).map { try SimulatedNode(index: $0, options: options) }
        self.workloads = options.workloads.map { WorkloadFactory.make($0) }
        self.checkers = CheckerFactory.all(options, workloads: self.workloads)
        for node in self.nodes {
            self.schedule(.start(node: node.index), after: self.random.duration(.zero, .milliseconds(300)))
        }
        self.schedule(.program, after: .milliseconds(400))
        self.schedule(.look, after: .milliseconds(100))
        if !options.faults.isEmpty { self.schedule(.fault, after: options.faultInterval) }
    }

    // MARK: - Time

    /// Runs until `time`, or until something is found wrong.
    package func run(until time: Duration) throws {
        while self.violation == nil, let next = self.events.nextTime, next <= time { try self.step() }
        if self.violation == nil { self.now = max(self.now, time) }
    }

    /// Reports that something is wrong; the first report counts.
    package func fail(_ what: String) {
        guard self.violation == nil else { return }
        self.violation = what
        self.note("world", "VIOLATION \(what)")
    }

    /// Adds a line to the transcript.
    func note(_ who: String, _ what: String) { self.transcript.add(self.now, who, what) }

    /// Adds an event.
    func schedule(_ event: Event, after delay: Duration) {
        self.events.add(event, at: self.now + delay)
    }

    /// Adds an event.
    func schedule(_ event: Event, at time: Duration) {
        self.events.add(event, at: max(self.now, time))
    }

    private func step() throws {
        guard let (time, event) = self.events.next() else { return }
        self.now = time
        // A suspended PC finds everything when it wakes, in the same order.
        if let node = self.target(of: event), self.nodes[node].pausedUntil > time {
            return self.schedule(event, at: self.nodes[node].pausedUntil)
        }
        for node in self.nodes { node.clock.set(time, skew: node.skew) }
        try self.handle(event)
    }

    private func target(of event: Event) -> Int? {
        switch event {
        case .timer(let node, _, _, _), .storeExecutes(let node, _, _), .storeReplies(let node, _, _),
            .dialFailed(let node, _, _), .notice(let node, _), .poll(let node, _), .start(let node):
            node
        case .accept(let link): self.network.links[link].ends[1].node
        case .opened(let link): self.network.links[link].ends[0].node
        case .deliver(let link, let pipe): self.network.links[link].ends[1 - pipe].node
        case .closed(let link, let end): self.network.links[link].ends[end].node
        case .program, .fault, .look, .change: nil
        }
    }

    private func handle(_ event: Event) throws {
        switch event {
        case .timer(let node, let process, let id, let generation):
            try self.timerRunsOut(node, process, id, generation)
        case .storeExecutes(let node, let process, let isRead): try self.storeExecutes(node, process, isRead)
        case .storeReplies(let node, let process, let isRead): try self.storeReplies(node, process, isRead)
        case .accept(let link): try self.accept(link)
        case .opened(let link): try self.opened(link)
        case .dialFailed(let node, let process, let address):
            try self.give(.dialFailed(address: address), to: node, process: process)
        case .deliver(let link, let pipe): try self.deliver(link, pipe)
        case .closed(let link, let end): try self.closed(link, end)
        case .notice(let node, let process): try self.notice(node, process)
        case .poll(let node, let process):
            guard self.process(node, process) != nil else { return }
            if self.nodes[node].hasUnnoticedCommit { try self.notice(node, process) }
            self.schedule(event, after: .seconds(1))
        case .start(let node): try self.start(node)
        case .program: try self.runProgram()
        case .fault: try self.breakSomething()
        case .look: self.lookForHosts()
        case .change: self.disturb(until: self.now)
        }
    }

    // MARK: - Processes

    /// The process of that number, if it runs still.
    func process(_ node: Int, _ number: Int) -> SimulatedNode.Process? {
        self.nodes[node].processNumber == number ? self.nodes[node].process : nil
    }

    private func start(_ index: Int) throws {
        let node = self.nodes[index]
        guard node.process == nil else { return }
        let state = try node.start()
        // Making a node's file ends with a checkpoint.
        if node.processNumber == 1 { try node.disk.flush() }
        self.note(node.name, "starts")
        self.disturb(until: self.now)
        for checker in self.checkers { try checker.started(node, state, in: self) }
        try self.give(.started(state), to: index, process: node.processNumber)
        self.schedule(.poll(node: index, process: node.processNumber), after: .seconds(1))
    }

    private func timerRunsOut(_ node: Int, _ number: Int, _ id: TimerID, _ generation: UInt64) throws {
        guard let process = self.process(node, number), process.timers[id] == generation else { return }
        process.timers[id] = nil
        try self.give(.timerFired(id), to: node, process: number)
    }

    private func notice(_ node: Int, _ number: Int) throws {
        guard self.process(node, number) != nil else { return }
        self.nodes[node].hasUnnoticedCommit = false
        try self.give(.localCommitNoticed, to: node, process: number)
    }

    /// Gives the core an input and carries out its effects in order.
    func give(_ input: Input, to index: Int, process number: Int) throws {
        guard let process = self.process(index, number), self.violation == nil else { return }
        let node = self.nodes[index]
        let moment = Now(monotonic: self.now, wallMilliseconds: node.clock.milliseconds)
        let effects = process.machine.handle(input, at: moment)
        self.note(node.name, Summary.line(input, effects))
        for checker in self.checkers { try checker.handled(input, effects, by: node, in: self) }
        for effect in effects { try self.perform(effect, of: node, process) }
    }

    /// Asks a node's core to sync the clinic.
    func requestSync(at index: Int) throws -> RequestID {
        self.lastRequest += 1
        let request = RequestID(rawValue: self.lastRequest)
        self.openSyncs[request] = index
        try self.give(.commandReceived(request, .sync(table: nil)), to: index, process: self.nodes[index].processNumber)
        return request
    }

    /// Asks a node's core to log somebody in, as a program does whose user's password is right.
    ///
    /// - Returns: Under what number ``logins`` has the answer, which never comes when the process ends before.
    package func requestLogin(at index: Int, session: String, user: String, isForced: Bool = false) throws -> RequestID
    {
        self.lastRequest += 1
        let request = RequestID(rawValue: self.lastRequest)
        let node = self.nodes[index]
        let login = LoginRequest(
            sessionID: session,
            userID: user,
            username: user,
            deviceID: node.origin.node.description,
            deviceName: node.name,
            tokenHash: Array(repeating: 7, count: 32),
            loginMilliseconds: node.process?.machine.clinicMilliseconds(at: node.clock.milliseconds) ?? 0,
            isForced: isForced
        )
        try self.give(.commandReceived(request, .login(login)), to: index, process: node.processNumber)
        return request
    }

    private func perform(_ effect: Effect, of node: SimulatedNode, _ process: SimulatedNode.Process) throws {
        switch effect {
        case .send(let ids, let message):
            let bytes = Summary.encode(message, term: process.machine.term)
            for id in ids { self.send(bytes, over: id) }
        case .dial(let address): self.dial(address, from: node)
        case .close(let id, let reason): self.close(id, reason)
        case .setTimer(let id, let delay):
            process.lastTimer += 1
            process.timers[id] = process.lastTimer
            self.schedule(
                .timer(node: node.index, process: node.processNumber, id, generation: process.lastTimer),
                after: delay
            )
        case .cancelTimer(let id): process.timers[id] = nil
        case .storage(let request):
            process[keyPath: SimulatedNode.queue(isRead: request.isRead)].requests.append(request)
            self.startStore(node, process, isRead: request.isRead)
        case .reply(let request, .synced(let report)):
            self.openSyncs[request] = nil
            self.syncReports[request] = report
        case .reply(let request, .loginDecided(let outcome)): self.logins[request] = outcome
        case .publish, .learn, .notify, .reply(_, .hostTransferred): break
        case .stopped:
            self.note(node.name, "stopped")
            self.endProcess(of: node)
            if self.isDisturbed || node.isStopping { self.schedule(.start(node: node.index), after: .seconds(1)) }
        }
    }

    // MARK: - Stores

    private func startStore(_ node: SimulatedNode, _ process: SimulatedNode.Process, isRead: Bool) {
        let queue = SimulatedNode.queue(isRead: isRead)
        guard !process[keyPath: queue].isBusy, !process[keyPath: queue].requests.isEmpty else { return }
        process[keyPath: queue].isBusy = true
        let time = self.random.duration(.microseconds(20), self.options.storeTimeMax)
        self.schedule(.storeExecutes(node: node.index, process: node.processNumber, isRead: isRead), after: time)
    }

    private func storeExecutes(_ index: Int, _ number: Int, _ isRead: Bool) throws {
        let queue = SimulatedNode.queue(isRead: isRead)
        guard let process = self.process(index, number),
            let request = process[keyPath: queue].requests.popFirst()
        else { return }
        let node = self.nodes[index]
        let reply: StorageReply
        if isRead {
            reply = process.reading.perform(request)
        } else if node.failingWrites > 0 {
            node.failingWrites -= 1
            reply = .failed(request, .unavailable(SimulatedWorld.injectedFailure))
        } else {
            reply = process.writing.perform(request)
            if Summary.isDurable(request, reply, of: node.origin) { try node.disk.flush() }
        }
        self.note(node.name, "store \(Summary.of(request)) = \(Summary.of(reply))")
        for checker in self.checkers { try checker.storeAnswered(request, reply, on: node, in: self) }
        process[keyPath: queue].replies.append(reply)
        process[keyPath: queue].isBusy = false
        self.schedule(
            .storeReplies(node: index, process: number, isRead: isRead),
            after: self.random.duration(.microseconds(5), .milliseconds(1))
        )
        self.startStore(node, process, isRead: isRead)
    }

    /// What a store says that was told to fail.
    static let injectedFailure = "the simulated disk is full"

    private func storeReplies(_ index: Int, _ number: Int, _ isRead: Bool) throws {
        guard let process = self.process(index, number),
            let reply = process[keyPath: SimulatedNode.queue(isRead: isRead)].replies.popFirst()
        else { return }
        try self.give(.storageReplied(reply), to: index, process: number)
    }
}
