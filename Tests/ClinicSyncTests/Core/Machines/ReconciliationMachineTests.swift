import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("Reconciliation, as one node takes part in it") struct ReconciliationMachineTests {
    private let tables = [TableDigest(name: "t", rows: 1, digest: Digest(high: 0, low: 1))]

    private func report(_ round: UInt64, _ vector: VersionVector = .v(1)) -> DigestReport {
        DigestReport(round: round, vector: vector, tables: self.tables)
    }

    private func machine() -> ReconciliationStateMachine {
        var machine = ReconciliationStateMachine(.client(2))
        machine.linked(.c(1))
        return machine
    }

    private func finished(_ result: ReconciliationResult, took: Duration = .zero) -> [Directive] {
        [
            .effect(.cancelTimer(.retryRound)), .effect(.cancelTimer(.roundTimeout)),
            .effect(.notify(.reconciled(result, repairedRows: 0, took: took))),
        ]
    }

    private func begun(_ round: UInt64) -> [Directive] {
        [
            .effect(.setTimer(.roundTimeout, after: .seconds(60))),
            .effect(.storage(.digests(.question(round: round)))),
        ]
    }

    @Test("a client's periodic round with an equal host")
    func periodic() {
        var machine = self.machine()
        let timer = Directive.effect(.setTimer(.reconcile, after: .seconds(30)))
        #expect(machine.periodicTimerFired(.client(), isRunning: true) == [timer] + self.begun(1))
        #expect(machine.periodicTimerFired(.client(), isRunning: true) == [timer])
        #expect(
            machine.measured(.question(round: 1), vector: .v(1), tables: self.tables, .client()) == [
                .effect(.send([.c(1)], .digests(self.report(1))))
            ]
        )
        #expect(machine.received(self.report(1), on: .c(9), .client()) == [])
        #expect(
            machine.received(self.report(1), on: .c(1), .client(at: 102))
                == self.finished(.equal, took: .seconds(2))
        )
        #expect(machine.last?.result == .equal)
    }

    @Test("the host begins no round; a node without host reports that it is alone")
    func noRound() {
        var machine = self.machine()
        let timer = Directive.effect(.setTimer(.reconcile, after: .seconds(30)))
        #expect(machine.periodicTimerFired(.host(), isRunning: true) == [timer])
        #expect(machine.periodicTimerFired(.client(), isRunning: false) == [timer])
        #expect(
            machine.periodicTimerFired(.searching(), isRunning: true) == [
                timer, .effect(.notify(.reconciled(.unreachable, repairedRows: 0, took: .zero))),
            ]
        )
    }

    @Test("a verification sweeps, reconciles and reports what the sweep found")
    func verification() {
        var machine = self.machine()
        let request = SyncRequest(id: 4, table: nil)
        #expect(
            machine.beginVerification(request, for: .c(1)) == [.submit(.sweep(table: nil, .sync(id: 4)))]
        )
        #expect(machine.swept(id: 3, escaped: 0, unsent: 0, .client()) == [])
        #expect(machine.swept(id: 4, escaped: 2, unsent: 0, .client()) == self.begun(1))
        _ = machine.measured(.question(round: 1), vector: .v(1), tables: self.tables, .client())
        let report = VerifyReport(id: 4, result: .repaired, repairedRows: 2)
        #expect(
            machine.received(self.report(1), on: .c(1), .client())
                == self.finished(.equal) + [.effect(.send([.c(1)], .verifyReport(report)))]
        )
    }

    @Test("a verification waits for the round in progress, and fails with its sweep")
    func queued() {
        var machine = self.machine()
        _ = machine.periodicTimerFired(.client(), isRunning: true)
        _ = machine.beginVerification(SyncRequest(id: 4, table: nil), for: .c(1))
        #expect(machine.swept(id: 4, escaped: 0, unsent: 0, .client()) == [])
        #expect(machine.breakOff(.client()) == self.finished(.unreachable) + self.begun(2))
        _ = machine.beginVerification(SyncRequest(id: 5, table: nil), for: .c(1))
        let report = VerifyReport(id: 5, result: .differs, repairedRows: 0)
        #expect(machine.sweepFailed(id: 5) == [.effect(.send([.c(1)], .verifyReport(report)))])
        #expect(machine.sweepFailed(id: 5) == [])
    }

    @Test("requests without end make the store sweep once at a time, and the newest is answered")
    func manyRequests() {
        var machine = self.machine()
        #expect(machine.beginVerification(SyncRequest(id: 4, table: nil), for: .c(1)).count == 1)
        for id: UInt64 in 5...90 {
            #expect(machine.beginVerification(SyncRequest(id: id, table: nil), for: .c(1)) == [])
        }
        #expect(machine.swept(id: 4, escaped: 0, unsent: 0, .client()) == self.begun(1))
        _ = machine.measured(.question(round: 1), vector: .v(1), tables: self.tables, .client())
        let report = VerifyReport(id: 90, result: .equal, repairedRows: 0)
        let end = machine.received(self.report(1), on: .c(1), .client())
        #expect(end.last == .effect(.send([.c(1)], .verifyReport(report))))
    }

    @Test("a request for another table during a sweep has a sweep of its own")
    func otherTable() {
        var machine = self.machine()
        _ = machine.beginVerification(SyncRequest(id: 4, table: "t"), for: .c(1))
        #expect(machine.beginVerification(SyncRequest(id: 5, table: "u"), for: .c(1)) == [])
        #expect(
            machine.swept(id: 4, escaped: 0, unsent: 0, .client()) == [.submit(.sweep(table: "u", .sync(id: 5)))]
        )
        #expect(machine.swept(id: 5, escaped: 0, unsent: 0, .client()) == self.begun(1))
    }

    @Test("with another host the round and the verification are over")
    func hostChanged() {
        var machine = self.machine()
        _ = machine.beginVerification(SyncRequest(id: 4, table: nil), for: .c(1))
        #expect(machine.swept(id: 4, escaped: 0, unsent: 0, .client()) == self.begun(1))
        #expect(machine.hostChanged(.searching()) == self.finished(.unreachable))
        #expect(machine.hostChanged(.searching()) == [])
    }

    @Test("the host answers four questions of a client at a time, and none of a stranger")
    func questions() {
        var machine = ReconciliationStateMachine(.host)
        machine.linked(.c(2))
        for round in 1...4 as ClosedRange<UInt64> {
            #expect(
                machine.received(self.report(round), on: .c(2), .host()) == [
                    .effect(.storage(.digests(.answer(to: .c(2), question: self.report(round)))))
                ]
            )
        }
        #expect(machine.received(self.report(5), on: .c(2), .host()) == [.close(.c(2), .protocolViolation)])
        #expect(machine.received(self.report(5), on: .c(9), .host()) == [.close(.c(9), .protocolViolation)])
        #expect(
            machine.measured(.answer(to: .c(2), question: self.report(1)), vector: .v(1), tables: self.tables, .host())
                == [.effect(.send([.c(2)], .digests(self.report(1))))]
        )
        #expect(machine.last?.result == .equal)
        machine.lost(.c(2))
        #expect(
            machine.measured(.answer(to: .c(2), question: self.report(2)), vector: .v(1), tables: [], .host()) == []
        )
    }

    @Test("the host merges a client's rows and confirms the last page")
    func rows() {
        var machine = ReconciliationStateMachine(.host)
        machine.linked(.c(2))
        let page = RowStatePage(round: 7, table: "t", payload: [1], wanted: [], isLast: true)
        let question = RowHashPage(round: 7, table: "t", after: .string("a"), through: .string("m"), rows: [])
        _ = machine.received(question, on: .c(2))
        let range = KeyRange(after: .string("a"), through: .string("m"))
        #expect(machine.received(page, on: .c(2), .host()) == [.submit(.mergeRows(from: .c(2), page, within: range))])
        let outcome = MergeOutcome(changedRows: 1, events: [], logged: [], vector: .v(1), aheadKeys: [])
        let receipt = RowStatePage(round: 7, table: "t", payload: [], wanted: [], isLast: true)
        #expect(
            machine.merged(from: .c(2), page, outcome, .host()) == [.effect(.send([.c(2)], .rowStates(receipt)))]
        )
    }
}

@Suite("Rows that nobody asked for") struct UnaskedRowsTests {
    private let page = RowStatePage(round: 7, table: "t", payload: [1], wanted: [], isLast: true)

    private func host(asked question: RowHashPage? = nil) -> ReconciliationStateMachine {
        var machine = ReconciliationStateMachine(.host)
        machine.linked(.c(2))
        machine.linked(.c(3))
        if let question { _ = machine.received(question, on: .c(2)) }
        return machine
    }

    private func question(_ round: UInt64 = 7, _ table: String = "t") -> RowHashPage {
        RowHashPage(round: round, table: table, after: nil, through: nil, rows: [])
    }

    @Test("a host merges a client's rows only of the table and in the round of that client's question")
    func hostIsNotAsked() {
        var silent = self.host()
        #expect(silent.received(self.page, on: .c(2), .host()) == [])
        var round = self.host(asked: self.question(6))
        #expect(round.received(self.page, on: .c(2), .host()) == [])
        var table = self.host(asked: self.question(7, "u"))
        #expect(table.received(self.page, on: .c(2), .host()) == [])
        var other = self.host(asked: self.question())
        #expect(other.received(self.page, on: .c(3), .host()) == [])
        #expect(other.received(self.page, on: .c(2), .host()).count == 1)
    }

    @Test("a client merges rows only in its round and from its host")
    func clientIsNotAsked() {
        var machine = ReconciliationStateMachine(.client(2))
        machine.linked(.c(1))
        machine.linked(.c(9))
        #expect(machine.received(self.page, on: .c(1), .client()) == [])
        #expect(machine.received(self.page, on: .c(9), .client()) == [])
    }

    @Test("more rows than the store can work on are dropped, and the client goes on")
    func tooMany() {
        var machine = self.host(asked: self.question())
        var large = self.page
        large.payload = Array(repeating: 0, count: CoreLimits.repairBytesMax)
        #expect(machine.received(large, on: .c(2), .host()) == [.submit(.mergeRows(from: .c(2), large, within: .all))])
        let receipt = RowStatePage(round: 7, table: "t", payload: [], wanted: [], isLast: true)
        #expect(machine.received(self.page, on: .c(2), .host()) == [.effect(.send([.c(2)], .rowStates(receipt)))])
        let outcome = MergeOutcome(changedRows: 1, events: [], logged: [], vector: .v(1), aheadKeys: [])
        _ = machine.merged(from: .c(2), large, outcome, .host())
        #expect(machine.received(self.page, on: .c(2), .host()).count == 1)
    }
}

@Suite("A client's wishes for a manual sync") struct SyncWishTests {
    private func machine() -> SyncWishStateMachine { SyncWishStateMachine(limit: .seconds(62)) }

    private func unreachable(_ id: UInt64) -> SyncReport {
        SyncReport(id: id, result: .unreachable, repairedRows: 0, nodes: [])
    }

    @Test("the host's report is the answer; a late report is ignored")
    func answered() {
        var machine = self.machine()
        #expect(
            machine.ask(.c(1), table: "t", request: .r(7)) == [
                .send([.c(1)], .syncRequest(SyncRequest(id: 1, table: "t"))),
                .setTimer(.syncTimeout(1), after: .seconds(62)),
            ]
        )
        let report = SyncReport(id: 1, result: .equal, repairedRows: 0, nodes: [])
        #expect(machine.reported(report) == [.cancelTimer(.syncTimeout(1)), .reply(.r(7), .synced(report))])
        #expect(machine.reported(report) == [])
        #expect(machine.timedOut(1) == [])
    }

    @Test("without a host, and when the host changes or is silent, the answer is unreachable")
    func unreachable() {
        var machine = self.machine()
        #expect(machine.ask(nil, table: nil, request: .r(7)) == [.reply(.r(7), .synced(self.unreachable(0)))])
        _ = machine.ask(.c(1), table: nil, request: .r(8))
        _ = machine.ask(.c(1), table: nil, request: .r(9))
        #expect(machine.timedOut(1) == [.reply(.r(8), .synced(self.unreachable(0)))])
        #expect(
            machine.breakOff() == [.cancelTimer(.syncTimeout(2)), .reply(.r(9), .synced(self.unreachable(2)))]
        )
        #expect(machine.breakOff() == [])
    }

    @Test("sixteen wishes wait")
    func bounded() {
        var machine = self.machine()
        for number in 0..<16 { _ = machine.ask(.c(1), table: nil, request: .r(UInt64(number))) }
        #expect(machine.ask(.c(1), table: nil, request: .r(99)) == [.reply(.r(99), .synced(self.unreachable(0)))])
    }
}

@Suite("The manual sync, as one node takes part in it") struct ManualSyncTests {
    @Test("the host sweeps itself, asks its clients, and answers a client under the client's number")
    func host() {
        var machine = ManualSyncStateMachine(.host)
        let clients = [LinkedPeer.follower(2)]
        #expect(
            machine.requested(SyncRequest(id: 9, table: nil), by: .c(2), .host()) == [
                .effect(.setTimer(.syncTimeout(1), after: .seconds(60))), .submit(.sweep(table: nil, .sync(id: 1))),
            ]
        )
        #expect(
            machine.swept(id: 1, escaped: 0, unsent: 0, clients: clients) == [
                .effect(.send([.c(2)], .verifyRequest(SyncRequest(id: 1, table: nil))))
            ]
        )
        let nodes = [
            SyncReport.Node(id: .n(1), name: "PC 1", result: .equal),
            SyncReport.Node(id: .n(2), name: "PC 2", result: .equal),
        ]
        let report = SyncReport(id: 9, result: .equal, repairedRows: 0, nodes: nodes)
        let verified = VerifyReport(id: 1, result: .equal, repairedRows: 0)
        #expect(
            machine.reported(verified, by: .c(2), clients: clients) == [
                .effect(.cancelTimer(.syncTimeout(1))), .send(.c(2), .syncReport(report)),
            ]
        )
    }

    @Test("a command goes to the host's own sync, or over the wire")
    func commands() {
        var machine = ManualSyncStateMachine(.host)
        #expect(
            machine.commanded(table: "t", request: .r(1), .host()).last
                == .submit(.sweep(table: "t", .sync(id: 1)))
        )
        #expect(machine.abdicated().first == .effect(.cancelTimer(.syncTimeout(1))))
        #expect(
            machine.commanded(table: "t", request: .r(2), .client()).first
                == .effect(.send([.c(1)], .syncRequest(SyncRequest(id: 1, table: "t"))))
        )
        #expect(machine.answerWishes().count == 2)
    }
}
