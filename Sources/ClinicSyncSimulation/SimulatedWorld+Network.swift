import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncWire
import DequeModule

// Dials, messages and broken connections.
extension SimulatedWorld {
    /// A dial without an answer fails after this time.
    private static let dialLimit: Duration = .seconds(1)

    private func latency(_ link: Int, pipe: Int) -> Duration {
        let (sender, receiver) = self.network.way(link, pipe: pipe)
        let latency = self.random.duration(.microseconds(50), self.options.latencyMax)
        return self.network.paths[sender][receiver].slowUntil > self.now ? latency + .milliseconds(600) : latency
    }

    func dial(_ address: String, from node: SimulatedNode) {
        let process = node.processNumber
        let target = self.nodes.first { $0.address == address }
        guard let target, !self.network.isSevered(node.index, target.index, at: self.now) else {
            let event = SimulationEvent.dialFailed(node: node.index, process: process, address: address, .timedOut)
            return self.schedule(event, after: SimulatedWorld.dialLimit)
        }
        let client = SimulatedNetwork.End(node: node.index, process: process, id: self.network.nextID(), isOpen: false)
        let server = SimulatedNetwork.End(node: target.index, process: 0, id: self.network.nextID(), isOpen: false)
        let link = self.network.connect([client, server], address: address)
        if let limit = self.options.processing?.dialLimit { self.schedule(.dialTimedOut(link: link), after: limit) }
        let latency = self.latency(link, pipe: 0)
        if target.isRunning { self.schedule(.answered(link: link), after: latency) }
        self.schedule(.accept(link: link), after: latency)
    }

    func accept(_ link: Int) throws {
        guard !self.network.links[link].isAbandoned else { return }
        let server = self.nodes[self.network.links[link].ends[1].node]
        let client = self.network.links[link].ends[0]
        guard server.isRunning, !server.isStopping else {
            let address = self.network.links[link].address
            let event = SimulationEvent.dialFailed(
                node: client.node,
                process: client.process,
                address: address,
                .refused
            )
            return self.schedule(event, after: self.latency(link, pipe: 1))
        }
        self.network.links[link].ends[1].process = server.processNumber
        self.network.links[link].ends[1].isOpen = true
        self.schedule(.opened(link: link), after: self.latency(link, pipe: 1))
        let id = self.network.links[link].ends[1].id
        let peer = self.nodes[client.node].origin.node
        try SimulatedMembership(self).meet(peer, at: server)
        try self.give(.connectionOpened(id, dialled: nil, peer: peer), to: server.index, process: server.processNumber)
    }

    func opened(_ link: Int) throws {
        let end = self.network.links[link].ends[0]
        guard self.process(end.node, end.process) != nil, !self.network.links[link].isAbandoned else {
            // The process was killed while it dialled, or has given up: the kernel refuses the connection.
            return self.schedule(.closed(link: link, end: 1), after: self.latency(link, pipe: 0))
        }
        self.network.links[link].ends[0].isOpen = true
        self.network.links[link].wasOpened = true
        // Earlier messages of the other end have waited for this.
        let peer = self.nodes[self.network.links[link].ends[1].node].origin.node
        try SimulatedMembership(self).meet(peer, at: self.nodes[end.node])
        let input = Input.connectionOpened(end.id, dialled: self.network.links[link].address, peer: peer)
        try self.give(input, to: end.node, process: end.process)
    }

    func send(_ bytes: [UInt8], over id: ConnectionID) {
        guard let (link, end) = self.network.find(id) else { return }
        self.post(bytes, link, pipe: end)
    }

    /// Sends a message.
    ///
    /// Pipe 0 leads away from end 0.
    private func post(_ bytes: [UInt8], _ link: Int, pipe: Int) {
        guard !self.network.links[link].pipes[pipe].isSwallowing else { return }
        let (sender, receiver) = self.network.way(link, pipe: pipe)
        let blocked = self.network.paths[sender][receiver].blockedUntil
        let arrival = max(
            max(self.now, blocked) + self.latency(link, pipe: pipe),
            self.network.links[link].pipes[pipe].lastArrival
        )
        self.network.links[link].pipes[pipe].messages.append(bytes)
        self.network.links[link].pipes[pipe].lastArrival = arrival
        self.schedule(.deliver(link: link, pipe: pipe), at: arrival)
    }

    func deliver(_ link: Int, _ pipe: Int) throws {
        let receiver = self.network.links[link].ends[1 - pipe]
        if pipe == 1, !receiver.isOpen, self.process(receiver.node, receiver.process) != nil,
            !self.network.links[link].wasOpened
        {
            // The upgrade's answer goes first.
            return self.schedule(.deliver(link: link, pipe: pipe), after: .milliseconds(1))
        }
        // The message is lost with a broken connection.
        guard let bytes = self.network.links[link].pipes[pipe].messages.popFirst(), receiver.isOpen else { return }
        let sender = self.nodes[self.network.links[link].ends[pipe].node]
        if self.isSuspect(self.nodes[receiver.node]) { self.phase.suspect?.mutator?.observe(bytes) }
        switch Result(catching: { try MessageCodec.decode(bytes) }) {
        case .success(let (message, term)):
            try self.give(
                .messageReceived(receiver.id, message, term: term),
                to: receiver.node,
                process: receiver.process
            )
        case .failure where self.isSuspect(sender):
            // Nothing that comes after it is read.
            self.network.links[link].pipes[pipe].isSwallowing = true
            self.network.links[link].pipes[pipe].messages.removeAll()
            try self.give(.malformedMessageReceived(receiver.id), to: receiver.node, process: receiver.process)
        case .failure(let error):
            self.fail("a message of \(bytes.count) bytes cannot be decoded: \(error)")
        }
    }

    func closed(_ link: Int, _ end: Int) throws {
        let which = self.network.links[link].ends[end]
        guard which.isOpen else { return }
        self.network.links[link].ends[end].isOpen = false
        self.network.links[link].pipes[end].isSwallowing = true
        try self.give(.connectionClosed(which.id), to: which.node, process: which.process)
    }

    /// One end closes in order: its goodbye follows what it has sent.
    func close(_ id: ConnectionID, _ reason: CloseReason, retryAfter: Duration? = nil) {
        guard let (link, end) = self.network.find(id) else { return }
        let goodbye = Message.goodbye(reason, retryAfter: retryAfter)
        self.post(Summary.encode(goodbye, term: 0), link, pipe: end)
        let pipe = self.network.links[link].pipes[end]
        if !pipe.isSwallowing {
            self.schedule(.closed(link: link, end: 1 - end), at: pipe.lastArrival)
        }
        self.network.links[link].pipes[end].isSwallowing = true
        self.schedule(.closed(link: link, end: end), after: .microseconds(100))
    }

    /// Breaks a connection: each direction loses its last messages in transit, and each end learns of the break at
    /// its own time.
    func cut(_ link: Int) {
        for end in 0...1 {
            self.loseTail(link, pipe: end)
            let learns = self.now + self.random.duration(.zero, .milliseconds(500))
            let arrival = self.network.links[link].pipes[1 - end].lastArrival
            self.schedule(.closed(link: link, end: end), at: max(learns, arrival))
        }
    }

    /// A pipe loses a random part of its messages in transit, and all later messages.
    private func loseTail(_ link: Int, pipe: Int) {
        let count = self.network.links[link].pipes[pipe].messages.count
        self.network.links[link].pipes[pipe].messages.removeLast(self.random.number(in: 0...count))
        self.network.links[link].pipes[pipe].isSwallowing = true
    }

    /// A process has ended.
    ///
    /// Its kernel informs the peers, unless the whole PC is off.
    func endProcess(of node: SimulatedNode, silently: Bool = false) {
        node.process = nil
        self.requests.abandon(at: node.index)
        for link in self.network.living(at: node.index) {
            let end = self.network.links[link].ends[0].node == node.index ? 0 : 1
            self.network.links[link].ends[end].isOpen = false
            self.loseTail(link, pipe: end)
            self.network.links[link].pipes[1 - end].isSwallowing = true
            guard !silently else { continue }
            let arrival = self.network.links[link].pipes[end].lastArrival
            let learns = max(self.now + self.latency(link, pipe: end), arrival)
            self.schedule(.closed(link: link, end: 1 - end), at: learns)
        }
    }
}

extension SimulatedNetwork {
    /// The sender and the receiver of a pipe.
    fileprivate func way(_ link: Int, pipe: Int) -> (sender: Int, receiver: Int) {
        let ends = self.links[link].ends
        return (ends[pipe].node, ends[1 - pipe].node)
    }
}
