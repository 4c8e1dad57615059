import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("The streams of changes, as their machine sees them") struct ReplicationMachineTests {
    private func introduced(_ number: UInt64, vector: VersionVector = VersionVector()) -> Hello {
        .of(.client(number), vector: vector)
    }

    /// A machine of node 1 that exchanges changes with the clients 2 and 3, both served up to the log's end.
    private func exchanging() -> ReplicationStateMachine {
        var machine = ReplicationStateMachine(.host)
        _ = machine.linked(.c(2), self.introduced(2), greeted: nil)
        _ = machine.linked(.c(3), self.introduced(3), greeted: nil)
        _ = machine.endIsolation(offsetMilliseconds: 0)
        _ = machine.restamped(peers: [.follower(2), .follower(3)], isStoreOpen: true)
        #expect(machine.located(.c(2), at: 0) == [])
        #expect(machine.located(.c(3), at: 0) == [])
        return machine
    }

    @Test("nothing is exchanged before the stamps are final; then every peer is located and its chunks are stored")
    func isolated() {
        var machine = ReplicationStateMachine(.host)
        #expect(machine.linked(.c(2), self.introduced(2), greeted: nil) == [])
        #expect(machine.received(.of(2, 1), on: .c(2), isStoreOpen: true) == [])
        #expect(machine.relay([BatchChunk.of(1, 1).at(1)]) == [])
        #expect(
            machine.endIsolation(offsetMilliseconds: 3) == [.storage(.restamp(offsetMilliseconds: 3))]
        )
        #expect(
            machine.restamped(peers: [.follower(2, acknowledged: .v(1))], isStoreOpen: true) == [
                .storage(.locate(for: .c(2), vector: .v(1), takesState: true)),
                .storage(.store(from: .c(2), [.of(2, 1)])),
            ]
        )
        #expect(
            machine.linked(.c(3), self.introduced(3), greeted: nil) == [
                .storage(.locate(for: .c(3), vector: VersionVector(), takesState: true))
            ]
        )
        #expect(machine.beginIsolation() == [.storage(.beginIsolation)])
    }

    @Test("a batch behind a gap under a peer's name is another's when the peer has not made even the one before")
    func denied() {
        var machine = self.exchanging()
        machine.committed([BatchChunk.of(3, 3).at(1)], vector: .v())
        let batch = BatchID(origin: .o(3), sequence: 3)
        for vector in [VersionVector.v(), .v(0, 0, 1)] {
            #expect(machine.denied(by: .n(3), vector) == [WaitingBatch(batch, isDenied: true)])
        }
        #expect(machine.denied(by: .n(3), .v(0, 0, 2)) == [])
        #expect(machine.denied(by: .n(2), .v()) == [])
    }

    @Test("a peer's chunk goes to the store, its credit comes back, and the others get the chunk")
    func relays() {
        var machine = self.exchanging()
        let chunk = BatchChunk.of(2, 1)
        #expect(machine.received(chunk, on: .c(2), isStoreOpen: true) == [.storage(.store(from: .c(2), [chunk]))])
        machine.committed([chunk.at(1)], vector: .v(0, 1))
        #expect(machine.vector == .v(0, 1))
        #expect(machine.relay([chunk.at(1)]) == [.send([.c(3)], .chunk(chunk))])
        let entries = [VersionVector.Entry(origin: .o(2), sequence: 1)]
        #expect(
            machine.stored(from: .c(2), bytes: 100, isStoreOpen: true) == [
                .send([.c(2)], .acknowledge(Acknowledgement(applied: entries, creditBytes: 100)))
            ]
        )
        #expect(
            machine.announce() == [.send([.c(3)], .acknowledge(Acknowledgement(applied: entries, creditBytes: 0)))]
        )
        #expect(machine.announce() == [])
    }

    @Test("while a collection is in progress, chunks wait")
    func waits() {
        var machine = self.exchanging()
        #expect(machine.received(.of(2, 1), on: .c(2), isStoreOpen: false) == [])
        #expect(machine.received(.of(2, 2), on: .c(2), isStoreOpen: false) == [])
        #expect(machine.storeWaiting(isStoreOpen: false) == [])
        #expect(
            machine.storeWaiting(isStoreOpen: true) == [.storage(.store(from: .c(2), [.of(2, 1), .of(2, 2)]))]
        )
    }

    @Test("a chunk without number, or of a peer that is not linked, is refused")
    func refuses() {
        var machine = self.exchanging()
        #expect(machine.received(.of(2, 0), on: .c(2), isStoreOpen: true) == nil)
        #expect(machine.received(.of(2, 1), on: .c(9), isStoreOpen: true) == nil)
        machine.lost(.c(2))
        #expect(machine.received(.of(2, 1), on: .c(2), isStoreOpen: true) == nil)
        #expect(machine.stored(from: .c(2), bytes: 1, isStoreOpen: true) == [])
    }

    @Test("a peer that is behind is read for, as far as its credit goes")
    func behind() {
        var machine = self.exchanging()
        machine.committed([BatchChunk.of(1, 1).at(1), BatchChunk.of(1, 2).at(2)], vector: .v(2))
        _ = machine.linked(.c(4), .of(.client(4), credit: 150), greeted: nil)
        #expect(machine.located(.c(4), at: 0) == [.storage(.readLog(for: .c(4), after: 0, maxBytes: 150))])
        let first = BatchChunk.of(1, 1)
        let second = BatchChunk.of(1, 2)
        #expect(
            machine.logRead(for: .c(4), [first.at(1), second.at(2)], head: 2) == [
                .send([.c(4)], .chunk(first)), .send([.c(4)], .chunk(second)),
            ]
        )
    }

    @Test("own batches are pending until the host has them")
    func pending() {
        var machine = ReplicationStateMachine(.client(2))
        machine.committed([], vector: .v(0, 5))
        machine.follow(acknowledged: .v(0, 2))
        #expect(machine.pendingChanges == 3)
        let entry = VersionVector.Entry(origin: .o(2), sequence: 4)
        machine.acknowledged(Acknowledgement(applied: [entry], creditBytes: 0), on: .c(1), isHost: false)
        #expect(machine.pendingChanges == 3)
        machine.acknowledged(Acknowledgement(applied: [entry], creditBytes: 0), on: .c(1), isHost: true)
        #expect(machine.pendingChanges == 1)
    }

    @Test("when the stamps cannot be made final, all links close")
    func restampFails() {
        var machine = ReplicationStateMachine(.host)
        _ = machine.linked(.c(2), self.introduced(2), greeted: nil)
        _ = machine.endIsolation(offsetMilliseconds: 0)
        #expect(machine.restampFailed() == [.c(2)])
        #expect(machine.isIsolated)
    }
}
