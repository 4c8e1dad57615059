import ClinicSyncCore
import ClinicSyncModel
import Testing

/// What a node does while another program's write transaction keeps its store from writing.
@Suite("A locked store, as one node sees it") struct StoreLockTests {
    private var bench = Bench(.host)

    /// Node 1 is host; the nodes 2 and 3 follow it on the connections of their numbers.
    init() {
        self.bench.start()
        for number in [2, 3] as [UInt64] {
            self.bench.connect(number, to: .client(number))
            self.say(number, priority: 100)
        }
    }

    /// A client tells this priority.
    private mutating func say(_ number: UInt64, priority: UInt32) {
        var report = CoreConfiguration.client(number).hostReport
        report.candidacy.priority = priority
        self.bench.give(.received(.c(number), .hostReport(report)))
    }

    private mutating func lock() -> [Effect] {
        self.bench.give(.storeLocked(StoreLock(waited: .seconds(3), holder: nil)))
    }

    private func asked(_ effects: [Effect]) -> [ConnectionID] {
        effects.flatMap { effect -> [ConnectionID] in
            if case .send(let ids, .handOver) = effect { ids } else { [] }
        }
    }

    /// What happens until the next heartbeat, and then.
    private mutating func beat(after time: Duration) -> [Effect] {
        self.bench.advance(time)
        for number in [2, 3] as [UInt64] { self.bench.give(.received(.c(number), .ping(Ping(id: 1)))) }
        return self.bench.give(.timerFired(.heartbeat))
    }

    @Test("the host asks the best client to be host, once, and another one when that one's store is locked too")
    mutating func handsOver() {
        #expect(self.asked(self.lock()) == [.c(3)])
        #expect(self.asked(self.beat(after: .milliseconds(500))) == [])
        self.say(3, priority: 0)
        self.bench.advance(.seconds(1))
        self.bench.give(.timerFired(.handOver))
        #expect(self.asked(self.beat(after: .milliseconds(500))) == [.c(2)])
    }

    @Test("when all stores are locked the host stays, and hands over to the first client whose store works again")
    mutating func allLocked() {
        for number in [2, 3] as [UInt64] { self.say(number, priority: 0) }
        #expect(self.asked(self.lock()) == [])
        for _ in 0..<60 { #expect(self.asked(self.beat(after: .milliseconds(500))) == []) }
        #expect(self.bench.node.status(at: self.bench.now).role == .host)
        self.say(2, priority: 100)
        #expect(self.asked(self.beat(after: .milliseconds(500))) == [.c(2)])
    }

    @Test("the status says since when, and claims neither equality nor that nothing is pending")
    mutating func status() {
        let before = self.bench.now.wallMilliseconds
        _ = self.bench.give(
            .storeLocked(StoreLock(waited: .seconds(3), holder: StoreLock.Holder(process: 7, program: "editor")))
        )
        self.bench.advance(.seconds(10))
        let status = self.bench.node.status(at: self.bench.now)
        #expect(status.storeLock?.sinceMilliseconds == before - 3_000)
        #expect(status.storeLock?.holder == StoreLock.Holder(process: 7, program: "editor"))
        #expect(status.pendingChanges == 1)
        let end = self.bench.give(.storeUnlocked)
        #expect(end.contains(.notify(.storeUnlocked(after: .seconds(13)))))
        #expect(self.bench.node.status(at: self.bench.now).storeLock == nil)
        #expect(self.bench.node.status(at: self.bench.now).pendingChanges == 0)
    }

    @Test("a sync in progress ends without a proof, and so does one that is asked for meanwhile")
    mutating func sync() {
        let report = SyncReport(
            id: 0,
            result: .unreachable,
            repairedRows: 0,
            nodes: [SyncReport.Node(id: .n(1), name: "PC 1", result: .unreachable)]
        )
        self.bench.give(.commandReceived(.r(1), .sync(table: nil)))
        let replies = (self.lock() + self.bench.give(.commandReceived(.r(2), .sync(table: nil)))).compactMap {
            if case .reply(let request, .synced(let report)) = $0 { (request, report) } else { nil }
        }
        #expect(replies.map(\.0) == [.r(1), .r(2)])
        #expect(replies.allSatisfy { $0.1.result == .unreachable && $0.1.nodes == report.nodes })
    }

    @Test("the host tells all clients once which client is locked, and the status names it")
    mutating func tellsClients() {
        var report = CoreConfiguration.client(2).hostReport
        report.lockedSince = 5
        let locked = [HostReport.LockedPeer(node: .n(2), since: 5)]
        self.bench.give(.received(.c(2), .hostReport(report)))
        #expect(self.bench.node.status(at: self.bench.now).lockedPeers == locked)
        let reports = (0..<2).map { _ in
            self.bench.node.handle(.timerFired(.heartbeat), at: self.bench.now).compactMap { effect in
                if case .send(_, .hostReport(let report)) = effect { report.lockedPeers } else { nil }
            }
        }
        #expect(reports[0].last == locked)
        #expect(reports[1] == [])
    }

    @Test("while no request waits, a heartbeat makes one, which shows whether the store writes again")
    func probes() {
        var bench = Bench(.node(1))
        bench.start()
        let probe = Effect.storage(.recordAcknowledged([]))
        #expect(!bench.give(.timerFired(.heartbeat)).contains(probe))
        bench.give(.storeLocked(StoreLock(waited: .seconds(3), holder: nil)))
        #expect(bench.give(.timerFired(.heartbeat)).contains(probe))
        #expect(!bench.give(.timerFired(.heartbeat)).contains(probe))
        bench.give(.storageReplied(.acknowledgedRecorded))
        bench.give(.storeUnlocked)
        #expect(!bench.give(.timerFired(.heartbeat)).contains(probe))
    }
}
