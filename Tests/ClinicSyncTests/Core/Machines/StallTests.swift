import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("A link over which nothing comes of what the peer has and this node lacks begins again")
struct StallTests {
    /// Node 1, the host, with the clients 2 and 3, which have these batches.
    private func machine(_ second: VersionVector, _ third: VersionVector = .v()) -> ReplicationStateMachine {
        var machine = ReplicationStateMachine(.host)
        _ = machine.linked(.c(2), .of(.client(2), vector: second), greeted: nil)
        _ = machine.linked(.c(3), .of(.client(3), vector: third), greeted: nil)
        _ = machine.endIsolation(offsetMilliseconds: 0)
        _ = machine.restamped(peers: [.follower(2), .follower(3)], isStoreOpen: true)
        return machine
    }

    private func stalled(
        _ machine: inout ReplicationStateMachine,
        at seconds: Int,
        isTakingState: Bool = false
    ) -> [ConnectionID] {
        machine.takeStalled(isTakingState: isTakingState, at: .seconds(seconds))
    }

    private func has(_ machine: inout ReplicationStateMachine, _ author: UInt64, _ sequence: UInt64, _ id: UInt64) {
        let entry = VersionVector.Entry(origin: .o(author), sequence: sequence)
        machine.acknowledged(Acknowledgement(applied: [entry], creditBytes: 0), on: .c(id), isHost: false)
    }

    @Test("after 30 s, of a client's batches, of those that a client has of others, and beside a link that is in order")
    func lost() {
        var machine = self.machine(.v(0, 2), .v(0, 0, 1, 4))
        machine.committed([], vector: .v(0, 0, 1))
        #expect(self.stalled(&machine, at: 100) == [])
        #expect(self.stalled(&machine, at: 129) == [])
        #expect(self.stalled(&machine, at: 130) == [.c(2), .c(3)])
        // The links go on until they are closed, and are not closed twice.
        #expect(self.stalled(&machine, at: 131) == [])
        var ordinary = self.machine(.v(0, 2), .v(0, 2))
        ordinary.committed([], vector: .v(0, 1))
        _ = self.stalled(&ordinary, at: 100)
        ordinary.lost(.c(2))
        ordinary.committed([], vector: .v(0, 2))
        #expect(self.stalled(&ordinary, at: 200) == [])
    }

    @Test("also in a clinic that works on: later batches of the same peer do not count")
    func busy() {
        var machine = self.machine(.v(0, 2, 1))
        machine.committed([], vector: .v(0, 0, 1))
        for second in 100..<131 {
            machine.committed([], vector: .v(0, 0, UInt64(second)))
            self.has(&machine, 3, UInt64(second) + 1, 2)
            #expect(self.stalled(&machine, at: second) == [])
        }
        // The last batch of those that the peer had at first came in second 101.
        #expect(self.stalled(&machine, at: 131) == [.c(2)])
    }

    @Test("not while something of it comes, a whole batch or a chunk; then the time begins again")
    func progress() {
        var machine = self.machine(.v(0, 9))
        _ = self.stalled(&machine, at: 100)
        machine.committed([], vector: .v(0, 1))
        #expect(self.stalled(&machine, at: 129) == [])
        machine.committed([BatchChunk.of(2, 3, of: 9).at(1)], vector: .v(0, 1))
        #expect(self.stalled(&machine, at: 150) == [])
        #expect(self.stalled(&machine, at: 179) == [])
        #expect(self.stalled(&machine, at: 180) == [.c(2)])
    }

    @Test("not while the store works on the peer's chunks, a state comes in place of them, or nothing is exchanged")
    func busyStore() {
        var machine = self.machine(.v(0, 9))
        _ = self.stalled(&machine, at: 100)
        _ = machine.received(.of(2, 5), on: .c(2), isStoreOpen: false)
        #expect(self.stalled(&machine, at: 200) == [])
        _ = machine.storeWaiting(isStoreOpen: true)
        #expect(self.stalled(&machine, at: 300) == [])
        _ = machine.stored(from: .c(2), bytes: 100, isStoreOpen: true)
        #expect(self.stalled(&machine, at: 329) == [])
        #expect(self.stalled(&machine, at: 329, isTakingState: true) == [])
        #expect(self.stalled(&machine, at: 400) == [])
        _ = machine.beginIsolation()
        #expect(self.stalled(&machine, at: 500) == [])
    }

    @Test(
        "not for batches that are here and wait, those of unknown authors, and numbers of this node that it never used"
    )
    func honest() {
        var waiting = self.machine(.v(0, 2))
        waiting.committed([BatchChunk.of(2, 1).at(1), BatchChunk.of(2, 2).at(2)], vector: .v())
        _ = self.stalled(&waiting, at: 100)
        #expect(self.stalled(&waiting, at: 200) == [])
        var machine = self.machine(.v(7, 1, 0, 0, 4))
        machine.committed([], vector: .v(0, 1))
        let members = KnownMembers(present: [.n(1), .n(2), .n(3)])
        _ = machine.membersChanged(members, isStoreOpen: true)
        _ = self.stalled(&machine, at: 100)
        #expect(self.stalled(&machine, at: 200) == [])
    }

    @Test(
        "a peer that never sends what it says to have costs a connection an hour at most; when all is here, it is forgotten"
    )
    func doubled() {
        var machine = self.machine(.v(0, 2))
        var (second, closes) = (1_000, [Int]())
        while closes.count < 10 {
            if self.stalled(&machine, at: second) == [.c(2)] {
                closes.append(second)
                machine.lost(.c(2))
                _ = machine.linked(.c(2), .of(.client(2), vector: .v(0, 2)), greeted: nil)
            }
            second += 10
        }
        // The first look at a new link begins the wait.
        let waits = zip(closes.dropFirst(), closes).map { $0 - $1 - 10 }
        #expect(closes.first == 1_030)
        #expect(waits == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600])
        machine.committed([], vector: .v(0, 2))
        _ = self.stalled(&machine, at: second)
        self.has(&machine, 2, 3, 2)
        #expect(self.stalled(&machine, at: second + 10) == [])
        #expect(self.stalled(&machine, at: second + 40) == [.c(2)])
    }

    @Test("housekeeping closes the link, so that the next hello says what is missing")
    func closes() {
        var client = Bench(.client(2))
        client.start(vector: .v(1))
        client.connect(1, to: .host, dialled: "host:1", vector: .v(3))
        #expect(client.give(.timerFired(.housekeeping)).closes == [])
        client.give(.storageReplied(.pruned(UpkeepOutcome())))
        client.advance(.seconds(30))
        #expect(client.give(.timerFired(.housekeeping)).contains(.close(.c(1), .replaced)))
    }
}
