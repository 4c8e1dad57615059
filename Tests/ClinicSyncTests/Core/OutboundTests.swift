import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite struct OutboundTests {
    private func machine(
        vector: VersionVector = .v(),
        partials: [PartialBatch] = [],
        credit: Int = 1_000,
        position: UInt64 = 0
    ) -> PeerOutboundStateMachine {
        var outbound = PeerOutboundStateMachine(vector: vector, partials: partials, credit: credit)
        outbound.located(position)
        return outbound
    }

    @Test("a peer at the head of the log is live and gets new chunks at once, each once")
    func live() {
        var outbound = self.machine(position: 4)
        #expect(outbound.nextRead(head: 4, maxBytes: 100) == nil)
        #expect(outbound.state == .live)
        let chunk = BatchChunk.of(1, 1).at(5)
        #expect(outbound.offer(chunk) == true)
        #expect(outbound.offer(chunk) == false)
        #expect(outbound.credit == 900)
        #expect(outbound.cursor == 5)
    }

    @Test("a live peer without credit is served from the log, and one chunk may overdraw the credit")
    func creditRunsOut() {
        var outbound = self.machine(credit: 150, position: 0)
        _ = outbound.nextRead(head: 0, maxBytes: 100)
        #expect(outbound.offer(BatchChunk.of(1, 1).at(1)) == true)
        #expect(outbound.offer(BatchChunk.of(1, 2).at(2)) == true)
        #expect(outbound.credit == -50)
        #expect(outbound.offer(BatchChunk.of(1, 3).at(3)) == false)
        #expect(outbound.state == .catchingUp(isReading: false))
        #expect(outbound.nextRead(head: 3, maxBytes: 1_000) == nil)
        outbound.acknowledged(Acknowledgement(applied: [], creditBytes: 200))
        let read = outbound.nextRead(head: 3, maxBytes: 1_000)
        #expect(read?.after == 2)
        #expect(read?.maxBytes == 150)
        #expect(outbound.logRead([BatchChunk.of(1, 3).at(3)], head: 3) == [.of(1, 3)])
        #expect(outbound.nextRead(head: 3, maxBytes: 1_000) == nil)
        #expect(outbound.state == .live)
    }

    @Test("a read stops where the credit ends and goes on from there")
    func readStopsAtCredit() {
        var outbound = self.machine(credit: 100)
        #expect(outbound.nextRead(head: 3, maxBytes: 1_000) != nil)
        let log = (1...3).map { BatchChunk.of(1, UInt64($0)).at(UInt64($0)) }
        #expect(outbound.logRead(log, head: 3) == [.of(1, 1)])
        #expect(outbound.cursor == 1)
        outbound.acknowledged(Acknowledgement(applied: [], creditBytes: 1_000))
        let read = outbound.nextRead(head: 3, maxBytes: 500)
        #expect(read?.after == 1)
        #expect(read?.maxBytes == 500)
        #expect(outbound.logRead(log, head: 3) == [.of(1, 2), .of(1, 3)])
    }

    @Test("what the peer has, whole or in part, is skipped")
    func skipsKnown() {
        let partial = PartialBatch(batch: BatchID(origin: .o(1), sequence: 3), nextChunk: 2)
        var outbound = self.machine(vector: .v(2), partials: [partial])
        #expect(outbound.nextRead(head: 9, maxBytes: 1_000) != nil)
        let log =
            [BatchChunk.of(1, 2).at(1)]
            + (0..<3).map { BatchChunk.of(1, 3, index: $0, of: 3).at(UInt64($0) + 2) }
        #expect(outbound.logRead(log, head: 9) == [.of(1, 3, index: 2, of: 3)])
        #expect(outbound.sent.vector == .v(3))
        #expect(outbound.sent.partials.isEmpty)
    }

    /// Batch 3 of node 1 in three chunks with the checksums 11, 12 and 13.
    private func batch() -> [LoggedChunk] {
        let stamp = HybridTimestamp(milliseconds: 5)
        return (0..<3 as Range<UInt32>).map { index in
            BatchChunk.of(1, 3, index: index, of: 3, timestamp: stamp, checksum: UInt64(11 + index))
                .at(UInt64(index) + 1)
        }
    }

    /// A peer with batch 2 of node 1, and with two chunks of batch 3 with this content.
    private func holder(of content: PartialBatch.Content) -> PeerOutboundStateMachine {
        let partial = PartialBatch(batch: BatchID(origin: .o(1), sequence: 3), nextChunk: 2, content: content)
        return self.machine(vector: .v(2), partials: [partial])
    }

    @Test("a peer whose first chunk of a batch is another one is sent the batch from its beginning")
    func otherFirstChunk() {
        let (log, stamp) = (self.batch(), HybridTimestamp(milliseconds: 5).rawValue)
        let cases: [(content: PartialBatch.Content, count: Int)] = [
            (.init(first: 11, timestamp: stamp, newest: 12), 1), (.init(first: 11), 1),
            // A peer of an older version does not say what it has.
            (.init(), 1), (.init(first: 99, timestamp: stamp, newest: 12), 3), (.init(first: 11, timestamp: 1), 3),
        ]
        for (content, count) in cases {
            var outbound = self.holder(of: content)
            #expect(outbound.nextRead(head: 3, maxBytes: 1_000) != nil)
            #expect(outbound.logRead(log, head: 3) == log.suffix(count).map(\.chunk), "\(content)")
            #expect(outbound.nextLocate() == nil)
        }
    }

    @Test("a peer whose newest chunk of a batch is another one is served again from before the batch")
    func otherNewestChunk() {
        let log = self.batch()
        var outbound = self.holder(of: .init(first: 11, newest: 98))
        #expect(outbound.nextRead(head: 3, maxBytes: 1_000) != nil)
        #expect(outbound.logRead(log, head: 3) == [])
        #expect(outbound.state == .locating)
        #expect(outbound.nextLocate() == .v(2))
        #expect(outbound.nextLocate() == nil)
        outbound.located(0)
        #expect(outbound.nextRead(head: 3, maxBytes: 1_000)?.after == 0)
        #expect(outbound.logRead(log, head: 3) == log.map(\.chunk))
    }

    @Test("what a live peer sent of a batch counts only while this node has the same content")
    func otherContentWhileLive() {
        let log = self.batch()
        var outbound = self.machine(vector: .v(2))
        _ = outbound.nextRead(head: 0, maxBytes: 100)
        outbound.received(.of(1, 3, index: 0, of: 3, checksum: 97))
        #expect(outbound.offer(log[0]) == true)
        outbound.received(.of(1, 3, index: 1, of: 3, checksum: 98))
        #expect(outbound.offer(log[1]) == false)
        #expect(outbound.nextLocate() == .v(2))
    }

    @Test("a peer never gets back what it sent, chunk by chunk")
    func noEcho() {
        var outbound = self.machine()
        _ = outbound.nextRead(head: 0, maxBytes: 100)
        outbound.received(.of(2, 1, index: 0, of: 2))
        #expect(outbound.offer(BatchChunk.of(2, 1, index: 0, of: 2).at(1)) == false)
        #expect(outbound.offer(BatchChunk.of(3, 1).at(2)) == true)
        outbound.received(.of(2, 1, index: 1, of: 2))
        #expect(outbound.offer(BatchChunk.of(2, 1, index: 1, of: 2).at(3)) == false)
        #expect(outbound.state == .live)
    }

    @Test("a small new batch overtakes bulk when nothing before it is lacking, and is not sent again")
    func interactiveFirst() {
        var outbound = self.machine(vector: .v(5, 7))
        #expect(outbound.nextRead(head: 100, maxBytes: 1_000) != nil)
        #expect(outbound.offer(BatchChunk.of(2, 8).at(101)) == true)
        #expect(outbound.offer(BatchChunk.of(2, 10).at(102)) == false)
        #expect(outbound.offer(BatchChunk.of(1, 6, index: 0, of: 2).at(103)) == false)
        #expect(outbound.cursor == 0)
        let log = [BatchChunk.of(2, 8).at(101), BatchChunk.of(2, 9).at(102)]
        #expect(outbound.logRead(log, head: 103) == [.of(2, 9)])
    }

    @Test("a chunk that a read has overtaken is not sent twice")
    func readOvertakesReply() {
        var outbound = self.machine()
        #expect(outbound.nextRead(head: 1, maxBytes: 1_000) != nil)
        _ = outbound.logRead([BatchChunk.of(1, 1).at(1), BatchChunk.of(1, 2).at(2)], head: 2)
        #expect(outbound.nextRead(head: 2, maxBytes: 1_000) == nil)
        #expect(outbound.offer(BatchChunk.of(1, 2).at(2)) == false)
    }

    @Test("a read that finds nothing ends the search, for what was there is pruned")
    func emptyRead() {
        var outbound = self.machine()
        #expect(outbound.nextRead(head: 5, maxBytes: 1_000) != nil)
        #expect(outbound.logRead([], head: 5) == [])
        #expect(outbound.nextRead(head: 5, maxBytes: 1_000) == nil)
        #expect(outbound.state == .live)
    }
}
