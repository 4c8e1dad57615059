import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite struct ReplicationTests {
    /// A host with clients 2, 3 and 4 on connections of the same numbers, all live.
    private func hostWithThree() -> Bench {
        var host = Bench(.host)
        host.start()
        for client: UInt64 in 2...4 { host.connect(client, to: .client(client)) }
        return host
    }

    private func acknowledge(_ applied: [(UInt64, UInt64)], _ credit: UInt32 = 0) -> Message {
        let entries = applied.map { VersionVector.Entry(origin: .o($0), sequence: $1) }
        return .acknowledge(Acknowledgement(applied: entries, creditBytes: credit))
    }

    @Test("a local commit is collected and goes to all live peers in one send")
    func localCommit() {
        var host = self.hostWithThree()
        #expect(host.give(.localCommitNoticed) == [.storage(.collect(clockOffsetMilliseconds: 0))])
        #expect(host.give(.localCommitNoticed) == [])
        let outcome = CollectOutcome.of([BatchChunk.of(1, 1).at(1)], vector: .v(1))
        #expect(
            host.give(.storageReplied(.collected(outcome))) == [
                .send([.c(2), .c(3), .c(4)], .chunk(.of(1, 1))),
                .storage(.collect(clockOffsetMilliseconds: 0)),
            ]
        )
    }

    @Test("a peer's chunk is stored, told to programs, relayed to the others and acknowledged, in this order")
    func relay() {
        var host = self.hostWithThree()
        let chunk = BatchChunk.of(2, 1)
        #expect(
            host.give(.received(.c(2), .chunk(chunk))) == [.storage(.store(from: .c(2), [chunk]))]
        )
        let outcome = StoreOutcome.of([chunk.at(1)], bytes: 100, vector: .v(0, 1), events: [.of("patients")])
        #expect(
            host.give(.storageReplied(.stored(from: .c(2), outcome))) == [
                .publish([.of("patients")]),
                .send([.c(3), .c(4)], .chunk(chunk)),
                .send([.c(2)], self.acknowledge([(2, 1)], 100)),
            ]
        )
        // The other peers get the acknowledgement with the next heartbeat, in one message.
        let beat = host.give(.timerFired(.heartbeat))
        #expect(beat.first == .send([.c(3), .c(4)], self.acknowledge([(2, 1)])))
        #expect(host.give(.timerFired(.heartbeat)).messages.count == 1)
    }

    @Test("a peer does not lag behind by the batch it sent")
    func senderHasBatch() {
        var client = Bench(.client(2))
        client.start()
        client.connect(1, to: .host)
        client.give(.received(.c(1), .chunk(.of(1, 1))))
        let outcome = StoreOutcome.of([BatchChunk.of(1, 1).at(1)], bytes: 100, vector: .v(1))
        client.give(.storageReplied(.stored(from: .c(1), outcome)))
        #expect(client.node.status(at: client.now).vector == .v(1))
        #expect(client.node.status(at: client.now).peers.map(\.lagBatches) == [0])
    }

    @Test("chunks that arrive while the store works go together in the next request, and open batches are relayed")
    func coalesce() {
        var host = self.hostWithThree()
        let chunks = (0..<3).map { BatchChunk.of(2, 1, index: $0, of: 3) }
        #expect(host.give(.received(.c(2), .chunk(chunks[0]))).requests.count == 1)
        #expect(host.give(.received(.c(2), .chunk(chunks[1]))) == [])
        #expect(host.give(.received(.c(2), .chunk(chunks[2]))) == [])
        let first = StoreOutcome.of([chunks[0].at(1)], bytes: 100, vector: .v())
        #expect(
            host.give(.storageReplied(.stored(from: .c(2), first))) == [
                .send([.c(3), .c(4)], .chunk(chunks[0])),
                .send([.c(2)], self.acknowledge([], 100)),
                .storage(.store(from: .c(2), [chunks[1], chunks[2]])),
            ]
        )
        let rest = StoreOutcome.of(
            [chunks[1].at(2), chunks[2].at(3)],
            bytes: 200,
            vector: .v(),
            isApplyPending: true
        )
        #expect(
            host.give(.storageReplied(.stored(from: .c(2), rest))) == [
                .send([.c(3), .c(4)], .chunk(chunks[1])),
                .send([.c(3), .c(4)], .chunk(chunks[2])),
                .send([.c(2)], self.acknowledge([], 200)),
                .storage(.applyStored),
            ]
        )
        let everybody = [ConnectionID.c(2), .c(3), .c(4)]
        #expect(
            host.give(.storageReplied(.storedApplied(.of(vector: .v(0, 1))))) == [
                .send(everybody, self.acknowledge([(2, 1)]))
            ]
        )
    }

    @Test("a hello names complete but unapplied batches, so that they are not sent again")
    func helloNamesPartials() {
        var host = self.hostWithThree()
        let chunks = (0..<2).map { BatchChunk.of(2, 1, index: $0, of: 2) }
        let outcome = StoreOutcome.of([chunks[0].at(1), chunks[1].at(2)], bytes: 200, vector: .v())
        host.give(.storageReplied(.stored(from: .c(2), outcome)))
        let messages = host.connect(5, to: .client(5)).messages
        guard case .hello(let hello) = messages.first else {
            Issue.record("another case was expected")
            return
        }
        #expect(hello.partials == [PartialBatch(batch: chunks[0].batch, nextChunk: 2)])
    }

    @Test("nothing is stored, applied or swept between the slices of a collection")
    func gate() {
        var host = self.hostWithThree()
        host.give(.localCommitNoticed)
        #expect(host.give(.received(.c(2), .chunk(.of(2, 1)))) == [])
        #expect(host.give(.commandReceived(RequestID(rawValue: 1), .sync(table: nil))).requests == [])
        let slice = CollectOutcome.of([BatchChunk.of(1, 1, index: 0, of: 2).at(1)], vector: .v(), hasMore: true)
        let collect = StorageRequest.collect(clockOffsetMilliseconds: 0)
        #expect(host.give(.storageReplied(.collected(slice))).requests == [collect])
        let failure = StorageFailure.unavailable("disk full")
        #expect(host.give(.storageReplied(.failed(collect, failure))).requests == [])
        #expect(host.give(.timerFired(.retryStorage)).requests == [collect])
        let last = CollectOutcome.of([BatchChunk.of(1, 1, index: 1, of: 2).at(2)], vector: .v(1))
        #expect(host.give(.storageReplied(.collected(last))).requests == [.sweep(table: nil, .sync(id: 1))])
        let swept = StorageReply.swept(.sync(id: 1), escaped: 0, .of(vector: .v(1)))
        #expect(host.give(.storageReplied(swept)).requests == [.store(from: .c(2), [.of(2, 1)])])
    }

    @Test("a peer that sends without credit breaks the protocol; one chunk may overdraw it")
    func creditExceeded() {
        var configuration = CoreConfiguration.host
        configuration.creditBytes = 150
        var host = Bench(configuration)
        host.start()
        host.connect(2, to: .client(2))
        for sequence: UInt64 in 1...2 {
            #expect(host.give(.received(.c(2), .chunk(.of(2, sequence)))).closes == [])
        }
        #expect(host.give(.received(.c(2), .chunk(.of(2, 3)))).closes == [.protocolViolation])
    }

    @Test("one store request carries at most 64 chunks and 4 MiB")
    func storeRequestBounds() {
        var inbound = PeerInboundStateMachine(credit: 100 << 20)
        for sequence: UInt64 in 1...70 { #expect(inbound.receive(.of(2, sequence)) == .taken) }
        #expect(inbound.nextStore()?.count == 64)
        #expect(inbound.nextStore() == nil)
        inbound.stored(bytes: 6_400)
        #expect(inbound.nextStore()?.count == 6)
        inbound.stored(bytes: 600)
        for sequence: UInt64 in 71...73 { _ = inbound.receive(.of(2, sequence, bytes: 2 << 20)) }
        #expect(inbound.nextStore()?.count == 2)
        #expect(inbound.receive(.of(2, 74, bytes: 8 << 20 + 1)) == .refused)
    }

    @Test(
        "a store that fails closes the connection, so that the peer sends again",
        arguments: [
            (StorageFailure.malformed("sum"), CloseReason.protocolViolation),
            (.unavailable("disk full"), .storageFailed),
            (.forked(BatchID(origin: .o(2), sequence: 1)), .storageFailed),
        ]
    )
    func storeFails(_ failure: StorageFailure, _ reason: CloseReason) {
        var host = self.hostWithThree()
        let request = host.give(.received(.c(2), .chunk(.of(2, 1)))).requests[0]
        #expect(
            host.give(.storageReplied(.failed(request, failure))) == [
                .notify(.storageFailed(failure)),
                .setTimer(.retryStorage, after: .seconds(1)),
                .close(.c(2), reason),
                .notify(.peerLost(.n(2), reason)),
                .notify(.peerBacksOff(.n(2), reason, isPeersWord: false)),
            ]
        )
        #expect(host.give(.timerFired(.retryStorage)).requests == [.collect(clockOffsetMilliseconds: 0)])
    }

    @Test("an application that failed is tried again")
    func applyFails() {
        var host = self.hostWithThree()
        let outcome = StoreOutcome.of(vector: .v(), isApplyPending: true)
        host.give(.storageReplied(.stored(from: .c(2), outcome)))
        host.give(.storageReplied(.failed(.applyStored, .unavailable("disk full"))))
        #expect(host.give(.timerFired(.retryStorage)).requests == [.collect(clockOffsetMilliseconds: 0)])
        let collected = host.give(.storageReplied(.collected(.of(vector: .v()))))
        #expect(collected.requests == [.applyStored])
    }

    @Test("a peer that is behind is served from the log; one that needs what was pruned is not")
    func catchUp() {
        var host = Bench(.host)
        host.start(vector: .v(2), logHead: 2)
        host.give(.connectionOpened(.c(2), dialled: nil, peer: .n(2)))
        host.give(.received(.c(2), .hello(.of(.client(2)))))
        let located = host.give(.storageReplied(.located(for: .c(2), position: 0)))
        #expect(located == [.storage(.readLog(for: .c(2), after: 0, maxBytes: 1 << 20))])
        let log = [BatchChunk.of(1, 1).at(1), BatchChunk.of(1, 2).at(2)]
        #expect(
            host.give(.storageReplied(.logRead(for: .c(2), chunks: log, head: 2))) == [
                .send([.c(2)], .chunk(.of(1, 1))), .send([.c(2)], .chunk(.of(1, 2))),
            ]
        )
        #expect(host.node.status(at: host.now).peers.first?.lagBatches == 2)
        #expect(host.node.status(at: host.now).peers.first?.isJoining == true)
        host.give(.received(.c(2), self.acknowledge([(1, 2)], 200)))
        #expect(host.node.status(at: host.now).peers.first?.lagBatches == 0)
        #expect(host.node.status(at: host.now).peers.first?.isJoining == false)
        host.give(.connectionOpened(.c(3), dialled: nil, peer: .n(3)))
        host.give(.received(.c(3), .hello(.of(.client(3)))))
        let pruned = host.give(.storageReplied(.located(for: .c(3), position: nil)))
        #expect(pruned.first == .notify(.logTooShort(for: .n(3))))
        #expect(pruned.closes == [.storageFailed])
    }

    @Test("pending changes are the own batches that the host has not acknowledged")
    func pendingChanges() {
        var client = Bench(.client(2))
        client.start(vector: .v(0, 3))
        #expect(client.node.status(at: client.now).pendingChanges == 3)
        client.connect(1, to: .host, dialled: "host:1", vector: .v(0, 2))
        #expect(client.node.status(at: client.now).pendingChanges == 1)
        client.give(.received(.c(1), self.acknowledge([(2, 3)])))
        #expect(client.node.status(at: client.now).pendingChanges == 0)
    }

    @Test("status tells what others have that is not applied here, and what has come in part")
    func progress() {
        var client = Bench(.client(2))
        client.start(vector: .v(1))
        client.connect(1, to: .host, dialled: "host:1", vector: .v(3, 0, 1))
        #expect(client.node.status(at: client.now).missingBatches == 3)
        #expect(client.node.status(at: client.now).partialBatches == 0)
        let chunk = BatchChunk.of(1, 2, index: 0, of: 2)
        client.give(.received(.c(1), .chunk(chunk)))
        client.give(.storageReplied(.stored(from: .c(1), .of([chunk.at(2)], bytes: 100, vector: .v(1)))))
        #expect(client.node.status(at: client.now).partialBatches == 1)
        // An own batch that is still being collected does not count as a partial batch.
        let own = BatchChunk.of(2, 1, index: 0, of: 2)
        client.give(.localCommitNoticed)
        client.give(.storageReplied(.collected(.of([own.at(3)], vector: .v(1), hasMore: true))))
        #expect(client.node.status(at: client.now).partialBatches == 1)
        client.give(.received(.c(1), self.acknowledge([(1, 4)])))
        #expect(client.node.status(at: client.now).missingBatches == 4)
    }
}
