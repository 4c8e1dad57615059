package import ClinicSyncCore
package import ClinicSyncModel
import ClinicSyncStorage
import DequeModule
import GRDB

/// A clinic in virtual time: nodes, network, disks, clocks, programs and faults, all drawn from one seed.
///
/// It is single-threaded, without `async`. The nodes are the production core over the production store. Messages
/// travel as bytes through the production codec. A run stops at the first violation that a checker finds.
package final class SimulatedWorld {
    /// The run's options.
    package let options: SimulationOptions
    /// All PCs.
    package let nodes: [SimulatedNode]
    /// The source of all random numbers.
    package var random: SimulationRandom
    /// The transcript of the run.
    package private(set) var transcript: Transcript
    /// What may still happen, and whom nobody trusts.
    var phase = SimulationPhase()
    /// The observers of the run; more may be added before the first step.
    package var checkers: [any SimulationChecker] = []
    var network: SimulatedNetwork
    /// The requests to the nodes.
    var requests = SimulatedRequests()
    /// The programs of the PCs.
    let programs: SimulatedPrograms
    let faults = FaultInjector()
    var hosts = HostWatch()
    var timeline = Timeline()

    /// Makes the clinic of `options`; nothing happens before the first step.
    ///
    /// - Parameters:
    ///   - options: the options.
    ///   - workloads: what programs do; by default what the options name.
    ///   - isRecording: whether the steps are recorded.
    ///   - templates: what is on the PCs' disks; by default nothing.
    /// - Throws: what SQLite reports.
    package init(
        _ options: SimulationOptions,
        workloads: [any SimulationWorkload]? = nil,
        isRecording: Bool = true,
        templates: DiskTemplates? = nil
    ) throws {
        self.transcript = Transcript(isRecording: isRecording)
        self.options = options
        self.random = SimulationRandom(seed: options.seed)
        self.network = SimulatedNetwork(nodes: options.nodes)
        self.nodes = try (0..<options.nodes).map { index in
            let template = try templates?.disk(of: index, options)
            return try SimulatedNode(index: index, options: options, template: template)
        }
        self.programs = SimulatedPrograms(workloads ?? options.workloads.map { WorkloadFactory.make($0) })
        self.timeline.processors = options.processing.map { SimulatedProcessors($0, nodes: options.nodes) }
        self.checkers = CheckerFactory.all(options, workloads: self.programs.workloads)
        for node in self.nodes {
            self.schedule(.start(node: node.index), after: self.random.duration(.zero, .milliseconds(300)))
        }
        self.schedule(.program, after: .milliseconds(400))
        self.schedule(.look, after: .milliseconds(100))
        if !options.faults.isEmpty { self.schedule(.fault, after: options.faultInterval) }
    }

    /// Whether programs write and faults happen.
    package var isDisturbed: Bool { self.phase.isDisturbed }

    /// Virtual time since the start.
    package var now: Duration { self.timeline.now }

    /// The first violation, if any; nothing happens after it.
    package var violation: String? { self.transcript.violation }

    /// The decisions on logins, by the number that ``requestLogin(at:session:user:isForced:)`` returned.
    package var logins: [RequestID: LoginOutcome] { self.requests.logins }

    // MARK: - Time

    /// Runs until `time`, or until the first violation.
    package func run(until time: Duration) throws {
        while self.violation == nil, let event = self.timeline.next(until: time) { try self.step(event) }
        if self.violation == nil { self.timeline.advance(to: time) }
    }

    /// Reports a violation; the first report counts.
    package func fail(_ what: String) {
        self.transcript.fail(self.now, what)
    }

    /// Adds a line to the transcript.
    func note(_ who: String, _ what: @autoclosure () -> String) { self.transcript.add(self.now, who, what()) }

    /// Adds an event.
    func schedule(_ event: SimulationEvent, after delay: Duration) { self.timeline.add(event, at: self.now + delay) }

    /// Adds an event.
    func schedule(_ event: SimulationEvent, at time: Duration) { self.timeline.add(event, at: time) }

    private func step(_ event: SimulationEvent) throws {
        // A suspended PC handles all its events when it wakes, in the same order.
        if let node = self.target(of: event) {
            let load = SimulatedLoad(self)
            if self.nodes[node].pausedUntil > self.now { return load.postpone(event, at: self.nodes[node]) }
            if load.isQueued(event, at: node) { return }
        }
        for node in self.nodes { node.clock.set(self.now) }
        do {
            try self.handle(event)
        } catch let error as DatabaseError where error.resultCode.primaryResultCode == .SQLITE_CORRUPT {
            // Whoever meets the damage first, a program or a node: what was promised of the file does not hold.
            self.fail("a file is damaged: \(error)")
        }
    }

    private func target(of event: SimulationEvent) -> Int? {
        switch event {
        case .timer(let node, _, _, _), .storeExecutes(let node, _, _), .storeReplies(let node, _, _),
            .storeLocked(let node, _, _), .dialFailed(let node, _, _, _), .notice(let node, _), .poll(let node, _),
            .start(let node), .served(let node, _):
            node
        case .accept(let link): self.network.links[link].ends[1].node
        case .opened(let link), .answered(let link): self.network.links[link].ends[0].node
        case .deliver(let link, let pipe): self.network.links[link].ends[1 - pipe].node
        case .closed(let link, let end): self.network.links[link].ends[end].node
        case .program, .fault, .look, .change, .dialTimedOut: nil
        }
    }

    func handle(_ event: SimulationEvent) throws {
        switch event {
        case .timer(let node, let process, let id, let generation):
            try self.timerRunsOut(node, process, id, generation)
        case .storeExecutes(let node, let process, let isRead): try self.storeExecutes(node, process, isRead)
        case .storeReplies(let node, let process, let isRead): try self.storeReplies(node, process, isRead)
        case .storeLocked(let node, let process, let since):
            try self.nodes[node].storeLocked(process, since: since, in: self)
        case .accept(let link): try self.accept(link)
        case .answered(let link): try SimulatedLoad(self).answered(link)
        case .opened(let link): try self.opened(link)
        case .dialFailed(let node, let process, let address, let failure):
            try self.give(.dialFailed(address: address, failure), to: node, process: process)
        case .deliver(let link, let pipe): try self.deliver(link, pipe)
        case .closed(let link, let end): try self.closed(link, end)
        case .notice(let node, let process): try self.notice(node, process)
        case .poll(let node, let process):
            guard self.process(node, process) != nil else { return }
            if self.nodes[node].hasUnnoticedCommit { try self.notice(node, process) }
            self.schedule(event, after: .seconds(1))
        case .start(let node): try self.start(node)
        case .program: try self.programs.step(in: self)
        case .fault: try self.faults.breakSomething(in: self)
        case .look: self.lookForHosts()
        case .change: self.disturb(until: self.now)
        case .served(let node, let holdsCore): try SimulatedLoad(self).served(node, holdsCore: holdsCore)
        case .dialTimedOut(let link): SimulatedLoad(self).dialTimedOut(link)
        }
    }

    // MARK: - Processes

    /// The process of that number, if it still runs.
    func process(_ node: Int, _ number: Int) -> SimulatedNode.Process? {
        self.nodes[node].processNumber == number ? self.nodes[node].process : nil
    }

    private func start(_ index: Int) throws {
        let node = self.nodes[index]
        if let epoch = node.disk.following { try SimulatedEpochs(self).follow(epoch, at: node) }
        guard node.process == nil, !self.isOut(node), self.phase.joiner != index else { return }
        let (state, remains): (StoreState, MemoryDisk?)
        do {
            (state, remains) = try node.disk.working(nil) { try node.start() }
        } catch {
            return try self.failedToStart(node, error)
        }
        self.note(node.name, "starts")
        self.disturb(until: self.now)
        if let remains { return try self.faults.powerGoes(at: node, leaving: remains, in: self) }
        for checker in self.checkers(of: node) { try checker.started(node, state, in: self) }
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
        for checker in self.checkers(of: node) { try checker.handled(input, effects, by: node, in: self) }
        if self.isSuspect(node) { self.phase.suspect?.hear(effects) }
        for effect in effects { try self.perform(effect, of: node, process) }
    }

    private func perform(_ effect: Effect, of node: SimulatedNode, _ process: SimulatedNode.Process) throws {
        switch effect {
        case .send(let ids, let message):
            let bytes = Summary.encode(message, term: process.machine.term)
            self.timeline.processors?.charge(node.index, sends: ids.count)
            for id in ids {
                for frame in self.phase.frames(for: bytes, from: node) { self.send(frame, over: id) }
            }
        case .dial(let address): self.dial(address, from: node)
        case .close(let id, let reason): self.close(id, reason)
        case .turnAway(let id, let reason, let retryAfter): self.close(id, reason, retryAfter: retryAfter)
        case .setTimer(let id, let delay):
            process.lastTimer += 1
            process.timers[id] = process.lastTimer
            self.schedule(
                .timer(node: node.index, process: node.processNumber, id, generation: process.lastTimer),
                after: delay
            )
        case .cancelTimer(let id): process.timers[id] = nil
        case .storage(let request):
            process[keyPath: SimulatedNode.queue(isRead: request.isRead)].requests.append((request, self.now))
            self.startStore(node, process, isRead: request.isRead)
        case .reply(let request, .synced(let report)):
            self.requests.answer(request, report)
        case .reply(let request, .loginDecided(let outcome)): self.requests.answer(request, outcome)
        case .prove(let nodes, let id): SimulatedMembership(self).prove(nodes, to: id, by: node, process)
        case .learn(.member(let chain)): try SimulatedMembership(self).learn(chain, at: node)
        case .learn(.epoch(let statement)): SimulatedEpochs(self).learn(epoch: statement, at: node)
        case .publish, .learn(.revocation), .meter, .notify, .reply(_, .hostTransferred), .probeAnswered,
            .recordAnswers:
            break
        case .stopped(let reason):
            self.note(node.name, "stopped")
            process.reading.reader.close()
            let (_, remains) = try node.disk.working(.closing) { try process.writing.writer.close() }
            self.endProcess(of: node)
            if let remains { return try self.faults.powerGoes(at: node, leaving: remains, in: self) }
            node.isClosed = true
            let comesBack = self.isDisturbed || node.isStopping || reason == .forked
            if comesBack { self.schedule(.start(node: node.index), after: .seconds(1)) }
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
        if !isRead, try self.nodes[index].waitsForLock(number, in: self) { return }
        guard let process = self.process(index, number),
            let (request, givenAt) = process[keyPath: queue].requests.popFirst()
        else { return }
        let node = self.nodes[index]
        var requests = [request]
        let replies: [StorageReply]
        if isRead {
            replies = [process.reading.perform(request)]
        } else if let patience = request.patience, self.now - givenAt > patience {
            replies = [.failed(request, .unavailable(FaultInjector.storeLocked))]
        } else if node.obstacle.failingWrites > 0 {
            node.obstacle.failingWrites -= 1
            replies = [.failed(request, .disk(.full, FaultInjector.storeFailure))]
        } else {
            requests += process[keyPath: queue].takeGroup(after: request)
            let work = try node.disk.working(.of(request)) { process.writing.perform(together: requests) }
            if let remains = work.remains {
                self.note(node.name, "loses power in \(Summary.of(request))")
                return try self.faults.powerGoes(at: node, leaving: remains, in: self)
            }
            replies = work.value
        }
        for (request, reply) in zip(requests, replies) {
            self.note(node.name, "store \(Summary.of(request)) = \(Summary.of(reply))")
            for checker in self.checkers(of: node) { try checker.storeAnswered(request, reply, on: node, in: self) }
            process[keyPath: queue].replies.append(reply)
            self.schedule(
                .storeReplies(node: index, process: number, isRead: isRead),
                after: self.random.duration(.microseconds(5), .milliseconds(1))
            )
        }
        process[keyPath: queue].isBusy = false
        self.startStore(node, process, isRead: isRead)
    }

    private func storeReplies(_ index: Int, _ number: Int, _ isRead: Bool) throws {
        guard let process = self.process(index, number),
            let reply = process[keyPath: SimulatedNode.queue(isRead: isRead)].replies.popFirst()
        else { return }
        try self.give(.storageReplied(reply), to: index, process: number)
    }
}
