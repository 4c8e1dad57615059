import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncWire
import DequeModule

// Dials, messages and broken connections.
extension SimulatedWorld {
    /// A dial that nobody answers fails after this time.
    private static let dialLimit: Duration = .seconds(2)

    /// The client at the other end of a path to the host.
    private func path(of link: Int) -> Int { self.network.links[link].ends[0].node }

    private func isBlocked(_ client: Int) -> Bool {
        self.network.paths[client].blockedUntil.contains { $0 > self.now }
    }

    private func latency(of client: Int) -> Duration {
        let latency = self.random.duration(.microseconds(50), self.options.latencyMax)
        return self.network.paths[client].slowUntil > self.now ? latency + .milliseconds(600) : latency
    }

    func dial(_ address: String, from node: SimulatedNode) {
        let process = node.processNumber
        guard !self.isBlocked(node.index) else {
            let event = Event.dialFailed(node: node.index, process: process, address: address)
            return self.schedule(event, after: SimulatedWorld.dialLimit)
        }
        let client = SimulatedNetwork.End(
            node: node.index,
            process: process,
            id: self.network.nextID(),
            isOpen: false
        )
        let host = SimulatedNetwork.End(node: 0, process: 0, id: self.network.nextID(), isOpen: false)
        self.network.links.append(SimulatedNetwork.Link(address: address, ends: [client, host]))
        self.schedule(.accept(link: self.network.links.count - 1), after: self.latency(of: node.index))
    }

    func accept(_ link: Int) throws {
        let host = self.nodes[0]
        let client = self.network.links[link].ends[0]
        guard host.isRunning, !host.isStopping else {
            let address = self.network.links[link].address
            let event = Event.dialFailed(node: client.node, process: client.process, address: address)
            return self.schedule(event, after: self.latency(of: client.node))
        }
        self.network.links[link].ends[1].process = host.processNumber
        self.network.links[link].ends[1].isOpen = true
        self.schedule(.opened(link: link), after: self.latency(of: client.node))
        let id = self.network.links[link].ends[1].id
        let peer = self.nodes[client.node].origin.node
        try self.give(.connectionOpened(id, dialled: nil, peer: peer), to: 0, process: host.processNumber)
    }

    func opened(_ link: Int) throws {
        let end = self.network.links[link].ends[0]
        guard self.process(end.node, end.process) != nil else {
            // Killed while it dialled: the kernel refuses what comes for it.
            return self.schedule(.closed(link: link, end: 1), after: self.latency(of: end.node))
        }
        self.network.links[link].ends[0].isOpen = true
        self.network.links[link].wasOpened = true
        // What the host said meanwhile waited for this.
        let input = Input.connectionOpened(
            end.id,
            dialled: self.network.links[link].address,
            peer: self.nodes[0].origin.node
        )
        try self.give(input, to: end.node, process: end.process)
    }

    func send(_ bytes: [UInt8], over id: ConnectionID) {
        guard let (link, end) = self.network.find(id) else { return }
        self.post(bytes, link, pipe: end)
    }

    /// Puts a message on its way.
    ///
    /// Pipe 0 leads away from end 0.
    private func post(_ bytes: [UInt8], _ link: Int, pipe: Int) {
        guard !self.network.links[link].pipes[pipe].isSwallowing else { return }
        let client = self.path(of: link)
        let blocked = self.network.paths[client].blockedUntil[pipe]
        let arrival = max(
            max(self.now, blocked) + self.latency(of: client),
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
        // Lost with a broken connection.
        guard let bytes = self.network.links[link].pipes[pipe].messages.popFirst(), receiver.isOpen else { return }
        switch Result(catching: { try MessageCodec.decode(bytes) }) {
        case .success(let (message, _)):
            try self.give(.messageReceived(receiver.id, message), to: receiver.node, process: receiver.process)
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
    func close(_ id: ConnectionID, _ reason: CloseReason) {
        guard let (link, end) = self.network.find(id) else { return }
        self.post(Summary.encode(.goodbye(reason)), link, pipe: end)
        let pipe = self.network.links[link].pipes[end]
        if !pipe.isSwallowing {
            self.schedule(.closed(link: link, end: 1 - end), at: pipe.lastArrival)
        }
        self.network.links[link].pipes[end].isSwallowing = true
        self.schedule(.closed(link: link, end: end), after: .microseconds(100))
    }

    /// Breaks a connection: each direction loses the end of what is on its way, each end learns of it at its own time.
    func cut(_ link: Int) {
        for end in 0...1 {
            self.loseTail(link, pipe: end)
            let learns = self.now + self.random.duration(.zero, .milliseconds(500))
            let arrival = self.network.links[link].pipes[1 - end].lastArrival
            self.schedule(.closed(link: link, end: end), at: max(learns, arrival))
        }
    }

    /// A pipe loses a random part of what is on its way and everything to come.
    private func loseTail(_ link: Int, pipe: Int) {
        let count = self.network.links[link].pipes[pipe].messages.count
        self.network.links[link].pipes[pipe].messages.removeLast(self.random.number(in: 0...count))
        self.network.links[link].pipes[pipe].isSwallowing = true
    }

    /// A process is gone; its kernel tells the peers, unless the whole PC is gone.
    func endProcess(of node: SimulatedNode, silently: Bool = false) {
        node.process = nil
        for (request, index) in self.openSyncs.sorted(by: { $0.key < $1.key }) where index == node.index {
            self.openSyncs[request] = nil
        }
        for link in self.network.living(at: node.index) {
            let end = self.network.links[link].ends[0].node == node.index ? 0 : 1
            self.network.links[link].ends[end].isOpen = false
            self.loseTail(link, pipe: end)
            self.network.links[link].pipes[1 - end].isSwallowing = true
            guard !silently else { continue }
            let arrival = self.network.links[link].pipes[end].lastArrival
            let learns = max(self.now + self.latency(of: self.path(of: link)), arrival)
            self.schedule(.closed(link: link, end: 1 - end), at: learns)
        }
    }
}
