import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite struct SyncTests {
    private let request = RequestID(rawValue: 1)
    private let clients = (2...3).map { (number: UInt64) in
        SyncStateMachine.Client(connection: .c(number), node: .n(number), name: "PC \(number)")
    }

    private func machine(passes: Int = 5) -> SyncStateMachine {
        SyncStateMachine(host: .n(1), name: "PC 1", passesMax: passes)
    }

    /// A machine whose clients have been asked.
    private func verifying(passes: Int = 5) -> SyncStateMachine {
        var sync = self.machine(passes: passes)
        #expect(
            sync.request(.command(self.request), table: nil) == [
                .startTimer(id: 1), .sweep(table: nil, id: 1),
            ]
        )
        #expect(
            sync.swept(id: 1, escaped: 0, clients: self.clients) == [
                .verify([.c(2), .c(3)], SyncRequest(id: 1, table: nil))
            ]
        )
        return sync
    }

    private func verify(_ result: ReconciliationResult, _ rows: UInt64 = 0) -> VerifyReport {
        VerifyReport(id: 1, result: result, repairedRows: rows)
    }

    private func ended(
        _ result: ReconciliationResult,
        _ rows: UInt64 = 0,
        _ nodes: [(UInt64, ReconciliationResult)]
    ) -> [SyncStateMachine.Action] {
        let nodes = nodes.map { SyncReport.Node(id: .n($0), name: "PC \($0)", result: $1) }
        let report = SyncReport(id: 1, result: result, repairedRows: rows, nodes: nodes)
        return [.stopTimer(id: 1), .answer([.command(self.request)], report)]
    }

    @Test("one pass that finds nothing but equality is the proof")
    func equal() {
        var sync = self.verifying()
        #expect(sync.reported(self.verify(.equal), from: .c(2), clients: self.clients) == [])
        #expect(
            sync.reported(self.verify(.equal), from: .c(3), clients: self.clients)
                == self.ended(.equal, 0, [(1, .equal), (2, .equal), (3, .equal)])
        )
    }

    @Test("a repair needs another pass over all")
    func repaired() {
        var sync = self.verifying()
        _ = sync.reported(self.verify(.equal), from: .c(2), clients: self.clients)
        let again = SyncStateMachine.Action.verify([.c(2), .c(3)], SyncRequest(id: 1, table: nil))
        #expect(sync.reported(self.verify(.repaired, 4), from: .c(3), clients: self.clients) == [again])
        _ = sync.reported(self.verify(.equal), from: .c(2), clients: self.clients)
        #expect(
            sync.reported(self.verify(.equal), from: .c(3), clients: self.clients)
                == self.ended(.repaired, 4, [(1, .equal), (2, .equal), (3, .repaired)])
        )
    }

    @Test("without a pass that proves equality the answer is that nodes differ")
    func neverProven() {
        var sync = self.verifying(passes: 2)
        for _ in 0..<3 { _ = sync.reported(self.verify(.repaired, 1), from: .c(2), clients: self.clients) }
        _ = sync.reported(self.verify(.equal), from: .c(3), clients: self.clients)
        _ = sync.reported(self.verify(.equal), from: .c(3), clients: self.clients)
        let end = sync.reported(self.verify(.repaired, 1), from: .c(2), clients: self.clients)
        #expect(end == self.ended(.differs, 2, [(1, .equal), (2, .repaired), (3, .equal)]))
    }

    @Test("a client that is lost is no longer reachable and does not spoil the result")
    func lost() {
        var sync = self.verifying()
        _ = sync.reported(self.verify(.equal), from: .c(2), clients: self.clients)
        #expect(sync.lost(.c(3), clients: [self.clients[0]]) == self.ended(.equal, 0, [(1, .equal), (2, .equal)]))
    }

    @Test("a client that does not answer in time spoils it")
    func timedOut() {
        var sync = self.verifying()
        _ = sync.reported(self.verify(.equal), from: .c(2), clients: self.clients)
        #expect(
            sync.timedOut(id: 1)
                == self.ended(.unreachable, 0, [(1, .equal), (2, .equal), (3, .unreachable)])
        )
        #expect(sync.timedOut(id: 1) == [])
    }

    @Test("a host alone proves its own tables; a sweep that fails proves nothing")
    func alone() {
        var sync = self.machine()
        _ = sync.request(.command(self.request), table: nil)
        #expect(sync.swept(id: 1, escaped: 0, clients: []) == self.ended(.equal, 0, [(1, .equal)]))
        var failing = self.machine()
        _ = failing.request(.command(self.request), table: nil)
        #expect(failing.sweepFailed(id: 1) == self.ended(.differs, 0, [(1, .differs)]))
    }

    @Test("a row that no other node can have spoils the proof, the host's and a client's")
    func unsentRows() {
        var sync = self.machine()
        _ = sync.request(.command(self.request), table: nil)
        #expect(sync.swept(id: 1, escaped: 0, unsent: 1, clients: []) == self.ended(.differs, 0, [(1, .differs)]))

        var client = Bench(.client(2))
        client.start()
        client.connect(1, to: .host, dialled: "host:1")
        client.give(.received(.c(1), .verifyRequest(SyncRequest(id: 4, table: nil))))
        var outcome = CollectOutcome.of(vector: .v(0, 1))
        outcome.unsentRows = 1
        client.give(.storageReplied(.swept(.sync(id: 4), escaped: 0, outcome)))
        client.give(.storageReplied(.digests(.question(round: 1), vector: .v(0, 1), tables: [])))
        let answer = DigestReport(round: 1, vector: .v(0, 1), tables: [])
        let report = VerifyReport(id: 4, result: .differs, repairedRows: 0)
        #expect(client.give(.received(.c(1), .digests(answer))).messages == [.verifyReport(report)])
    }

    @Test("a wish never joins a sync in progress: it waits, together with equal wishes")
    func waits() {
        var sync = self.machine()
        _ = sync.request(.command(self.request), table: nil)
        #expect(sync.request(.peer(.c(2), id: 9), table: "t") == [])
        #expect(sync.request(.peer(.c(3), id: 8), table: "t") == [])
        let end = sync.swept(id: 1, escaped: 0, clients: [])
        #expect(Array(end.suffix(2)) == [.startTimer(id: 2), .sweep(table: "t", id: 2)])
        guard case .sweeping(let run) = sync.state else {
            Issue.record("another case was expected")
            return
        }
        #expect(run.requesters == [.peer(.c(2), id: 9), .peer(.c(3), id: 8)])
    }

    @Test("a client asks the host and passes its report on; without host nobody is reachable")
    func clientAsks() {
        var client = Bench(.client(2))
        client.start()
        let nobody = SyncReport(id: 0, result: .unreachable, repairedRows: 0, nodes: [])
        #expect(
            client.give(.commandReceived(self.request, .sync(table: nil))) == [.reply(self.request, .synced(nobody))]
        )
        client.connect(1, to: .host, dialled: "host:1")
        #expect(
            client.give(.commandReceived(self.request, .sync(table: "t"))) == [
                .send([.c(1)], .syncRequest(SyncRequest(id: 1, table: "t"))),
                .setTimer(.syncTimeout(1), after: .seconds(62)),
            ]
        )
        let report = SyncReport(id: 1, result: .equal, repairedRows: 0, nodes: [])
        #expect(
            client.give(.received(.c(1), .syncReport(report))) == [
                .cancelTimer(.syncTimeout(1)), .reply(self.request, .synced(report)),
            ]
        )
        client.give(.commandReceived(self.request, .sync(table: nil)))
        let broken = SyncReport(id: 2, result: .unreachable, repairedRows: 0, nodes: [])
        #expect(client.give(.connectionClosed(.c(1))).contains(.reply(self.request, .synced(broken))))
    }

    @Test("a client asked by the host sweeps, collects what escaped, reconciles and reports")
    func clientVerifies() {
        var client = Bench(.client(2))
        client.start()
        client.connect(1, to: .host, dialled: "host:1")
        let asked = client.give(.received(.c(1), .verifyRequest(SyncRequest(id: 4, table: "t1"))))
        #expect(asked == [.storage(.sweep(table: "t1", .sync(id: 4)))])
        let chunk = BatchChunk.of(2, 1)
        let swept = StorageReply.swept(.sync(id: 4), escaped: 2, .of([chunk.at(1)], vector: .v(0, 1), hasMore: true))
        #expect(
            client.give(.storageReplied(swept)) == [
                .notify(.escapedWrites(2)),
                .send([.c(1)], .chunk(chunk)),
                .storage(.collect(clockOffsetMilliseconds: 0)),
            ]
        )
        let rest = client.give(.storageReplied(.collected(.of(vector: .v(0, 1)))))
        #expect(rest.requests == [.digests(.question(round: 1))])
        let tables = [TableDigest(name: "t1", rows: 0, digest: .zero)]
        let measured = StorageReply.digests(.question(round: 1), vector: .v(0, 1), tables: tables)
        client.give(.storageReplied(measured))
        let answer = DigestReport(round: 1, vector: .v(0, 1), tables: tables)
        let report = VerifyReport(id: 4, result: .repaired, repairedRows: 2)
        let messages = client.give(.received(.c(1), .digests(answer))).messages
        #expect(messages == [.verifyReport(report)])
    }
}
