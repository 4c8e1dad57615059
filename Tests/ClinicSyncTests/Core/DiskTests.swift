import ClinicSyncCore
import ClinicSyncModel
import Testing

/// What a node does and says while the disk under its store refuses, or is slow.
@Suite("A disk with a fault, as one node sees it") struct DiskTests {
    private var bench = Bench(.host)
    private let write = StorageRequest.recordAcknowledged([])
    private let full = StorageFailure.disk(.full, "no room")

    /// Node 1 is host; node 2 follows it.
    init() {
        self.bench.start()
        self.bench.connect(2, to: .client(2))
        self.say(2, priority: 100)
    }

    private mutating func say(_ number: UInt64, priority: UInt32) {
        var report = CoreConfiguration.client(number).hostReport
        report.candidacy.priority = priority
        self.bench.give(.received(.c(number), .hostReport(report)))
    }

    private mutating func fail(_ request: StorageRequest, _ failure: StorageFailure) -> [Effect] {
        self.bench.give(.storageReplied(.failed(request, failure)))
    }

    /// What happens until the next heartbeat, and then.
    private mutating func beat(after time: Duration = .milliseconds(500)) -> [Effect] {
        self.bench.advance(time)
        self.bench.give(.received(.c(2), .ping(Ping(id: 1))))
        return self.bench.give(.timerFired(.heartbeat))
    }

    private func asked(_ effects: [Effect]) -> [ConnectionID] {
        effects.flatMap { effect -> [ConnectionID] in
            if case .send(let ids, .handOver) = effect { ids } else { [] }
        }
    }

    /// The priority that the node announces because of `input`; `nil` when it announces nothing.
    private mutating func announced(by input: Input) -> UInt32? {
        self.bench.node.handle(input, at: self.bench.now)
            .compactMap { if case .send(_, .hostReport(let report)) = $0 { report.candidacy.priority } else { nil } }
            .last
    }

    private var faults: [CoreStatus.DiskFault] { self.bench.node.status(at: self.bench.now).diskFaults }

    @Test("a host whose disk is full says so once, hands over, and claims neither equality nor that nothing is pending")
    mutating func refusing() {
        let before = self.bench.now.wallMilliseconds
        let first = self.fail(.prune(MemberPresence(isHost: true)), self.full)
        #expect(first.contains(.notify(.diskFault(.full, "no room"))))
        #expect(self.asked(first) == [.c(2)])
        self.bench.advance(.seconds(7))
        let second = self.fail(.prune(MemberPresence(isHost: true)), .disk(.full, "still no room"))
        #expect(!second.contains { if case .notify(.diskFault) = $0 { true } else { false } })
        let fault = CoreStatus.DiskFault(kind: .full, reason: "still no room", sinceMilliseconds: before)
        #expect(self.faults == [fault])
        #expect(self.bench.node.status(at: self.bench.now).pendingChanges == 1)
    }

    @Test(
        "the disk is probed while the fault lasts, and it is over when a probe succeeds and nothing else failed lately"
    )
    mutating func recovery() {
        let probe = Effect.storage(.probeDisk)
        var beats = [self.beat()]
        _ = self.fail(self.write, self.full)
        beats += [self.beat(), self.beat(after: .seconds(3))]
        _ = self.fail(.probeDisk, self.full)
        beats.append(self.beat())
        #expect(beats.map { $0.contains(probe) } == [false, true, false, true], "one at a time")
        let early = self.bench.give(.storageReplied(.diskProbed))
        #expect(early.isEmpty)
        #expect(self.faults.count == 1)
        beats = [self.beat(), self.beat(after: .seconds(6))]
        #expect(beats.map { $0.contains(probe) } == [false, true], "not every heartbeat")
        let over = self.bench.give(.storageReplied(.diskProbed))
        let recovered = over.compactMap { if case .notify(.diskRecovered(let kind, _)) = $0 { kind } else { nil } }
        #expect(recovered == [.full])
        #expect(self.faults.isEmpty)
        let last = self.beat(after: .seconds(6))
        #expect(!last.contains(probe))
    }

    @Test("an idle node whose disk has little room finds out whether it is full")
    mutating func room() {
        let asked = [Input.roomIsShort, .roomIsShort].map { self.bench.give($0) }
        #expect(asked == [[.storage(.probeDisk)], []])
        _ = self.fail(.probeDisk, self.full)
        #expect(self.faults.map(\.kind) == [.full])
    }

    @Test("events that a full disk refused are written down when it works again, in their order")
    mutating func events() {
        let events = (0..<70)
            .map { number in
                NamedEvent(
                    type: "event \(number)",
                    category: .system,
                    timestamp: HybridTimestamp(milliseconds: 1),
                    fields: [:]
                )
            }
        for event in events { _ = self.fail(.recordEvent(event), self.full) }
        _ = self.beat(after: .seconds(6))
        let written = self.bench.give(.storageReplied(.diskProbed))
            .compactMap { if case .storage(.recordEvent(let event)) = $0 { event } else { nil } }
        #expect(written == Array(events.suffix(DiskStateMachine.eventsMax)))
    }

    @Test("a program's lock that ends while the disk is full does not make the node fit, nor the other way round")
    mutating func lockedBesides() {
        let lock = StoreLock(waited: .seconds(3), holder: nil)
        let refused = self.announced(by: .storageReplied(.failed(self.write, self.full)))
        #expect(refused == 0)
        let locked = self.announced(by: .storeLocked(lock))
        let unlocked = self.announced(by: .storeUnlocked)
        #expect(locked == nil && unlocked == nil)
        self.bench.give(.storeLocked(lock))
        _ = self.beat(after: .seconds(6))
        let recovered = self.announced(by: .storageReplied(.diskProbed))
        #expect(self.faults.isEmpty)
        #expect(recovered == nil)
        let free = self.announced(by: .storeUnlocked)
        #expect(free == CoreConfiguration.host.hostReport.candidacy.priority)
    }

    @Test("a slow disk is named while it is slow, and the node stays host")
    mutating func slow() {
        let begun = self.bench.give(.syncsTakeLong("slow"))
        #expect(begun == [.notify(.diskFault(.slow, "slow"))])
        #expect(self.faults.map(\.kind) == [.slow])
        #expect(self.bench.node.status(at: self.bench.now).pendingChanges == 0)
        let beat = self.beat()
        #expect(beat.contains(.storage(.probeDisk)))
        #expect(self.asked(beat).isEmpty)
        let over = self.bench.give(.syncsTakeLong(nil))
        #expect(over == [.notify(.diskRecovered(.slow, after: .milliseconds(500)))])
        #expect(self.faults.isEmpty)
    }
}
