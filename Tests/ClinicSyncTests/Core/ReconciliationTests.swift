import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncWire
import Testing

@Suite struct ReconciliationTests {
    private typealias Machine = RoundStateMachine

    private func tables(_ digests: UInt64...) -> [TableDigest] {
        digests.enumerated().map { index, digest in
            TableDigest(name: "t\(index + 1)", rows: 1, digest: Digest(high: 0, low: digest))
        }
    }

    private func page(
        _ round: UInt64,
        _ table: String = "t1",
        payload: [UInt8] = [],
        wanted: [SQLiteValue] = [],
        isLast: Bool = true
    ) -> RowStatePage {
        RowStatePage(round: round, table: table, payload: payload, wanted: wanted, isLast: isLast)
    }

    private func finished(
        _ result: ReconciliationResult?,
        _ rows: UInt64 = 0
    ) -> [RoundStateMachine.Action] {
        [.finish(Machine.Outcome(trigger: .periodic, result: result, repairedRows: rows, startedAt: .zero))]
    }

    /// A machine that has asked the host with digest 1 for each of two tables.
    private func asking(table: String? = nil, retries: Int = 3) -> RoundStateMachine {
        var machine = Machine(retriesMax: retries)
        #expect(machine.begin(.periodic, table: table, at: .zero) == [.measure(round: 1)])
        let ours = DigestReport(round: 1, vector: .v(1), tables: self.tables(1, 1))
        #expect(machine.measured(round: 1, vector: .v(1), tables: self.tables(1, 1)) == [.ask(ours)])
        return machine
    }

    @Test("a host with a further table has the others repaired, and the tables differ all the same")
    func furtherTable() {
        var machine = self.asking()
        let answer = DigestReport(round: 1, vector: .v(1), tables: self.tables(1, 2, 3))
        #expect(machine.answered(answer) == [.hash(round: 1, table: "t2", after: nil)])
        var equal = self.asking()
        #expect(
            equal.answered(DigestReport(round: 1, vector: .v(1), tables: self.tables(1, 1, 3)))
                == self.finished(.differs)
        )
        var one = self.asking(table: "t3")
        #expect(one.answered(answer) == self.finished(.differs))
    }

    @Test("equal vectors and digests end the round")
    func equal() {
        var machine = self.asking()
        let answer = DigestReport(round: 1, vector: .v(1), tables: self.tables(1, 1))
        #expect(machine.answered(answer) == self.finished(.equal))
        #expect(machine.answered(answer) == [])
        #expect(machine.isIdle)
    }

    /// A report with a sum, as nodes of this version make it.
    private func summed(
        _ round: UInt64,
        _ sum: UInt64,
        _ tables: [TableDigest],
        at vector: VersionVector = .v(1)
    ) -> DigestReport {
        DigestReport(round: round, vector: vector, sum: Digest(high: 0, low: sum), tables: tables)
    }

    private func measured(_ machine: inout Machine, _ report: DigestReport) -> [Machine.Action] {
        machine.measured(round: report.round, vector: report.vector, tables: report.tables, sum: report.sum)
    }

    @Test("a host that knows the sum is asked with the sum alone; another host, which may not know it, gets the tables")
    func sumAlone() {
        var machine = Machine(retriesMax: 3)
        for round: UInt64 in 1...3 {
            _ = machine.begin(.periodic, table: nil, at: .zero)
            let ours = self.summed(round, 7, self.tables(1, 1))
            #expect(self.measured(&machine, ours) == [.ask(round == 2 ? self.summed(2, 7, []) : ours)])
            // Of a host that has the same the sum alone comes back.
            let answer = ours.answered(by: ours)
            #expect(answer == self.summed(round, 7, [], at: .v()))
            #expect(machine.answered(answer) == self.finished(.equal))
            if round == 2 { machine.forgetHost() }
        }
    }

    @Test("an answer without a vector confirms the same sum, and no other")
    func noVector() {
        for (sum, expected) in [(7, self.finished(.equal)), (8, [Machine.Action.waitForChanges])] {
            var machine = Machine(retriesMax: 3)
            _ = machine.begin(.periodic, table: nil, at: .zero)
            _ = self.measured(&machine, self.summed(1, 7, self.tables(1, 1)))
            #expect(machine.answered(self.summed(1, UInt64(sum), [], at: .v())) == expected)
        }
    }

    @Test("a round in sync takes at most 400 bytes, question and answer, with twelve PCs that all write")
    func inSync() {
        var vector = VersionVector()
        for number: UInt64 in 1...12 {
            vector.advance(Origin(node: NodeID(high: .max, low: number), incarnation: 1), to: 1_000_000)
        }
        let question = self.summed(100_000, .max, [], at: vector)
        let messages = [question, question.answered(by: question)]
        #expect(messages.map { MessageCodec.encode(.digests($0), term: 1_000).count }.reduce(0, +) <= 400)
    }

    @Test("a hidden row that differs has its table compared with hidden rows; a host that does not know them, without")
    func hidden() {
        func tables(_ hidden: UInt64?) -> [TableDigest] {
            var tables = self.tables(1, 1)
            tables[1].hidden = hidden.map { StateSum(rows: 1, digest: Digest(high: 0, low: $0)) }
            return tables
        }
        for (theirs, expected) in [
            (
                self.summed(1, 8, tables(6)),
                [Machine.Action.compareRanges(StateRangePage(round: 1, table: "t2", ranges: []))]
            ),
            (self.summed(1, 8, tables(5)), self.finished(.equal)),
            (self.summed(1, 8, tables(nil)), self.finished(.equal)),
            (DigestReport(round: 1, vector: .v(1), tables: tables(nil)), self.finished(.equal)),
            (
                DigestReport(round: 1, vector: .v(1), tables: self.tables(1, 3)),
                [.hash(round: 1, table: "t2", after: nil, hasHidden: false)]
            ),
        ] {
            var machine = Machine(retriesMax: 3)
            _ = machine.begin(.periodic, table: nil, at: .zero)
            _ = self.measured(&machine, self.summed(1, 7, tables(5)))
            #expect(machine.answered(theirs) == expected)
        }
    }

    @Test("the sum is of all tables: with one table in question, this one must exist")
    func sumOfOneTable() {
        for (table, result) in [("t2", ReconciliationResult.equal), ("t3", .differs)] {
            var machine = Machine(retriesMax: 3)
            _ = machine.begin(.periodic, table: table, at: .zero)
            _ = self.measured(&machine, self.summed(1, 7, self.tables(1, 1)))
            #expect(machine.answered(self.summed(1, 7, [])) == self.finished(result))
        }
    }

    /// A machine whose host has answered that two tables differ.
    private func ranging() -> Machine {
        var machine = Machine(retriesMax: 3)
        _ = machine.begin(.periodic, table: nil, at: .zero)
        _ = self.measured(&machine, self.summed(1, 7, self.tables(1, 1)))
        #expect(machine.answered(self.summed(1, 8, self.tables(2, 2))) == [.compareRanges(self.ranges())])
        return machine
    }

    private func ranges(_ bytes: [UInt8] = [], table: String = "t1", isTooLong: Bool = false) -> StateRangePage {
        StateRangePage(round: 1, table: table, ranges: bytes, isTooLong: isTooLong)
    }

    private func step(
        _ next: [UInt8]?,
        have: [SQLiteValue] = [],
        need: [UInt64] = [],
        isTooLong: Bool = false
    ) -> RangeStep {
        let next = next.map { self.ranges($0) }
        return RangeStep(round: 1, table: "t1", next: next, haveKeys: have, need: need, isTooLong: isTooLong)
    }

    @Test("ranges are compared until everything is; then the host sends what is lacking here and gets what it lacks")
    func rangesAreCompared() {
        var machine = self.ranging()
        #expect(machine.received(self.ranges([9])) == [], "an answer without a question")
        #expect(machine.ranged(self.step([1])) == [.sendRanges(self.ranges([1]))])
        #expect(machine.ranged(self.step([1])) == [], "a second reply of the store")
        #expect(machine.received(self.ranges([9], table: "t2")) == [], "another table")
        #expect(machine.received(self.ranges([2])) == [.compareRanges(self.ranges([2]))])
        #expect(machine.ranged(self.step([3], have: [.integer(1)], need: [5])) == [.sendRanges(self.ranges([3]))])
        #expect(machine.received(self.ranges([4])) == [.compareRanges(self.ranges([4]))])
        let wants = StateWants(round: 1, table: "t1", ids: [5, 6])
        #expect(machine.ranged(self.step(nil, need: [6])) == [.sendWants(wants)])
        let rows = self.page(1, payload: [1])
        #expect(machine.received(rows) == [.merge(rows, within: .all)])
        #expect(
            machine.merged(rows, changedRows: 2, aheadKeys: [])
                == [.gather(round: 1, table: "t1", keys: [.integer(1)])]
        )
        let push = self.page(1, payload: [2])
        #expect(machine.gathered([push]) == [.sendStates(push)])
        #expect(machine.received(self.page(1)) == [.compareRanges(self.ranges(table: "t2"))])
    }

    @Test("ranges without a difference end the table: another change was on its way")
    func noDifference() {
        var machine = self.ranging()
        _ = machine.ranged(self.step([1]))
        #expect(machine.received(self.ranges()) == [.compareRanges(self.ranges(table: "t2"))])
    }

    @Test("a host that lacks rows gets them without being asked for any")
    func hostLacks() {
        var machine = self.ranging()
        _ = machine.ranged(self.step([1]))
        _ = machine.received(self.ranges([2]))
        #expect(
            machine.ranged(self.step(nil, have: [.integer(1)]))
                == [.gather(round: 1, table: "t1", keys: [.integer(1)])]
        )
    }

    @Test("where too much differs, on either side, the table is compared page by page")
    func tooManyDifferences() {
        let pages = [Machine.Action.hash(round: 1, table: "t1", after: nil, hasHidden: true)]
        var ours = self.ranging()
        #expect(ours.ranged(self.step(nil, isTooLong: true)) == pages)
        var theirs = self.ranging()
        _ = theirs.ranged(self.step([1]))
        #expect(theirs.received(self.ranges(isTooLong: true)) == pages)
        var many = self.ranging()
        #expect(many.ranged(self.step([1], need: Array(0...UInt64(CoreLimits.rangedRowsMax)))) == pages)
        var endless = self.ranging()
        for _ in 0..<CoreLimits.rangeMessagesMax {
            #expect(endless.ranged(self.step([1])) == [.sendRanges(self.ranges([1]))])
            #expect(endless.received(self.ranges([2])) == [.compareRanges(self.ranges([2]))])
        }
        #expect(endless.ranged(self.step([1])) == pages)
    }

    @Test("a host answers ranges and wishes, takes rows of the table, and closes a client that asks without end")
    func hostAnswersRanges() {
        var host = Bench(.host)
        host.start()
        host.connect(2, to: .client(2))
        let request = StorageRequest.compareRanges(.answer(to: .c(2)), self.ranges([1]))
        #expect(host.give(.received(.c(2), .stateRanges(self.ranges([1])))) == [.storage(request)])
        #expect(
            host.give(.storageReplied(.rangesAnswered(for: .c(2), self.ranges([2]))))
                == [.send([.c(2)], .stateRanges(self.ranges([2])))]
        )
        let wants = StateWants(round: 1, table: "t1", ids: [5])
        #expect(host.give(.received(.c(2), .stateWants(wants))) == [.storage(.wantedStates(from: .c(2), wants))])
        #expect(
            host.give(.storageReplied(.compared(for: .c(2), [self.page(1)]))) == [
                .send([.c(2)], .rowStates(self.page(1)))
            ]
        )
        let rows = self.page(1, payload: [1])
        #expect(
            host.give(.received(.c(2), .rowStates(rows))) == [.storage(.mergeRows(from: .c(2), rows, within: .all))]
        )
        #expect(host.give(.received(.c(2), .stateRanges(self.ranges([1])))) == [.storage(request)])
        // The store reads one table at a time: others wait, and those of a lost client are not carried out.
        host.connect(3, to: .client(3))
        #expect(host.give(.received(.c(3), .stateRanges(self.ranges([1])))) == [])
        #expect(host.give(.received(.c(2), .stateRanges(self.ranges([3])))) == [])
        host.give(.connectionClosed(.c(3)))
        let waiting = StorageRequest.compareRanges(.answer(to: .c(2)), self.ranges([3]))
        #expect(
            host.give(.storageReplied(.rangesAnswered(for: .c(2), self.ranges([2]))))
                == [.send([.c(2)], .stateRanges(self.ranges([2]))), .storage(waiting)]
        )
        for _ in 1..<CoreLimits.questionsMax { host.give(.received(.c(2), .stateRanges(self.ranges([1])))) }
        #expect(host.give(.received(.c(2), .stateWants(wants))).contains(.close(.c(2), .protocolViolation)))
    }

    @Test("a host sends its tables only to a client that needs them to find the differing ones")
    func hostWithSum() {
        var host = Bench(.host)
        host.start()
        host.connect(2, to: .client(2))
        let ours = self.tables(2)
        for (question, tables, result) in [
            (self.summed(1, 7, [], at: .v()), [], ReconciliationResult.equal),
            (self.summed(2, 8, [], at: .v()), ours, .differs),
            (self.summed(3, 8, [], at: .v(0, 4)), [], .differs),
            (DigestReport(round: 4, vector: .v(), tables: ours), ours, .equal),
        ] {
            host.give(.received(.c(2), .digests(question)))
            let purpose = DigestPurpose.answer(to: .c(2), question: question)
            let sum = Digest(high: 0, low: 7)
            let answer = DigestReport(round: question.round, vector: .v(), sum: sum, tables: tables)
            #expect(
                host.give(.storageReplied(.digests(purpose, vector: .v(), tables: ours, sum: sum)))
                    == [.send([.c(2)], .digests(answer))]
            )
            #expect(host.node.status(at: host.now).lastReconciliation?.result == result)
        }
    }

    @Test("changes on their way are waited for a number of times, and are no difference")
    func retries() {
        var machine = self.asking(retries: 2)
        for round: UInt64 in 1...2 {
            let answer = DigestReport(round: round, vector: .v(2), tables: self.tables(9, 9))
            #expect(machine.answered(answer) == [.waitForChanges])
            #expect(machine.retryTimerFired() == [.measure(round: round + 1)])
            _ = machine.measured(round: round + 1, vector: .v(1), tables: self.tables(1, 1))
        }
        let answer = DigestReport(round: 3, vector: .v(2), tables: self.tables(9, 9))
        #expect(machine.answered(answer) == self.finished(nil))
    }

    @Test("a table that differs is repaired in both directions, page by page, and compared again")
    func repair() {
        var machine = self.asking()
        let differing = DigestReport(round: 1, vector: .v(1), tables: self.tables(1, 2))
        #expect(machine.answered(differing) == [.hash(round: 1, table: "t2", after: nil)])
        let first = RowHashPage(round: 1, table: "t2", after: nil, through: .integer(9), rows: [])
        #expect(machine.hashed(first) == [.sendHashes(first)])
        // The host knows more about one row and wants another row.
        let rows = self.page(1, "t2", payload: [1], isLast: false)
        #expect(machine.received(rows) == [.merge(rows, within: KeyRange(after: nil, through: .integer(9)))])
        #expect(machine.received(self.page(1, "t2", wanted: [.integer(3)])) == [])
        #expect(
            machine.merged(rows, changedRows: 1, aheadKeys: [.integer(4), .integer(3)]) == [
                .gather(round: 1, table: "t2", keys: [.integer(3), .integer(4)])
            ]
        )
        let push = self.page(1, "t2", payload: [2], isLast: false)
        var lastPush = push
        lastPush.isLast = true
        #expect(machine.gathered([push, push]) == [.sendStates(push), .sendStates(lastPush)])
        #expect(machine.received(self.page(1, "t2")) == [.hash(round: 1, table: "t2", after: .integer(9))])
        // The last page holds nothing to repair.
        let last = RowHashPage(round: 1, table: "t2", after: .integer(9), through: nil, rows: [])
        #expect(machine.hashed(last) == [.sendHashes(last)])
        #expect(machine.received(self.page(1, "t2")) == [.measure(round: 2)])
        _ = machine.measured(round: 2, vector: .v(1), tables: self.tables(1, 2))
        let equal = DigestReport(round: 2, vector: .v(1), tables: self.tables(1, 2))
        #expect(machine.answered(equal) == self.finished(.repaired, 3))
    }

    @Test("tables are repaired in the order of their names, and what differs afterwards is reported")
    func severalTables() {
        var machine = self.asking()
        let differing = DigestReport(round: 1, vector: .v(1), tables: self.tables(2, 2))
        #expect(machine.answered(differing) == [.hash(round: 1, table: "t1", after: nil)])
        for (table, next) in [("t1", "t2"), ("t2", "")] {
            let page = RowHashPage(round: 1, table: table, after: nil, through: nil, rows: [])
            _ = machine.hashed(page)
            let following: Machine.Action =
                next.isEmpty ? .measure(round: 2) : .hash(round: 1, table: next, after: nil)
            #expect(machine.received(self.page(1, table)) == [following])
        }
        _ = machine.measured(round: 2, vector: .v(1), tables: self.tables(1, 1))
        let still = DigestReport(round: 2, vector: .v(1), tables: self.tables(2, 2))
        #expect(machine.answered(still) == self.finished(.differs))
    }

    @Test("only the table in question is compared, and one that does not exist is never equal")
    func oneTable() {
        let differing = DigestReport(round: 1, vector: .v(1), tables: self.tables(1, 2))
        var first = self.asking(table: "t1")
        #expect(first.answered(differing) == self.finished(.equal))
        var none = self.asking(table: "nonsense")
        #expect(none.answered(differing) == self.finished(.differs))
    }

    @Test("replies and messages of another round are ignored, and a broken round is unreachable")
    func lateAndBroken() {
        var machine = self.asking()
        #expect(machine.answered(DigestReport(round: 7, vector: .v(1), tables: [])) == [])
        #expect(machine.received(self.page(1)) == [])
        #expect(machine.measured(round: 1, vector: .v(), tables: []) == [])
        #expect(machine.breakOff() == self.finished(.unreachable))
        #expect(machine.breakOff() == [])
        #expect(machine.begin(.periodic, table: nil, at: .zero) == [.measure(round: 2)])
        #expect(machine.measured(round: 1, vector: .v(), tables: []) == [])
    }

    @Test("a client reconciles shortly after the hello and then periodically; without host it is unreachable")
    func nodeRounds() {
        var client = Bench(.client(2))
        client.start()
        let alone = client.give(.timerFired(.reconcile))
        #expect(alone.contains(.notify(.reconciled(.unreachable, repairedRows: 0, took: .zero))))
        let effects = client.connect(1, to: .host, dialled: "host:1")
        let delays = effects.compactMap { if case .setTimer(.reconcile, let after) = $0 { after } else { nil } }
        #expect(delays.count == 1 && delays[0] <= .seconds(1))
        #expect(
            client.give(.timerFired(.reconcile)) == [
                .setTimer(.reconcile, after: .seconds(30)),
                .setTimer(.roundTimeout, after: .seconds(60)),
                .storage(.digests(.question(round: 1))),
            ]
        )
        let question = DigestReport(round: 1, vector: .v(), tables: self.tables(1))
        let measured = StorageReply.digests(.question(round: 1), vector: .v(), tables: self.tables(1))
        #expect(client.give(.storageReplied(measured)) == [.send([.c(1)], .digests(question))])
        client.advance(.milliseconds(3))
        #expect(
            client.give(.received(.c(1), .digests(question))) == [
                .cancelTimer(.retryRound),
                .cancelTimer(.roundTimeout),
                .notify(.reconciled(.equal, repairedRows: 0, took: .milliseconds(3))),
            ]
        )
        #expect(client.node.status(at: client.now).lastReconciliation?.result == .equal)
        client.give(.timerFired(.reconcile))
        let late = client.give(.timerFired(.roundTimeout))
        #expect(late.contains(.notify(.reconciled(.unreachable, repairedRows: 0, took: .zero))))
    }

    @Test("a host answers questions, compares pages, merges rows and gives a receipt for the last")
    func hostAnswers() {
        var host = Bench(.host)
        host.start()
        host.connect(2, to: .client(2))
        let question = DigestReport(round: 5, vector: .v(), tables: self.tables(1))
        let purpose = DigestPurpose.answer(to: .c(2), question: question)
        #expect(host.give(.received(.c(2), .digests(question))) == [.storage(.digests(purpose))])
        let answer = DigestReport(round: 5, vector: .v(), tables: self.tables(2))
        #expect(
            host.give(.storageReplied(.digests(purpose, vector: .v(), tables: self.tables(2)))) == [
                .send([.c(2)], .digests(answer))
            ]
        )
        let hashes = RowHashPage(round: 5, table: "t1", after: nil, through: nil, rows: [])
        #expect(host.give(.received(.c(2), .rowHashes(hashes))) == [.storage(.compare(from: .c(2), hashes))])
        let wish = self.page(5, wanted: [.integer(1)])
        #expect(
            host.give(.storageReplied(.compared(for: .c(2), [wish]))) == [.send([.c(2)], .rowStates(wish))]
        )
        let rows = self.page(5, payload: [1])
        #expect(
            host.give(.received(.c(2), .rowStates(rows))) == [.storage(.mergeRows(from: .c(2), rows, within: .all))]
        )
        let outcome = MergeOutcome(changedRows: 1, events: [.of("t1")], logged: [], vector: .v(), aheadKeys: [])
        #expect(
            host.give(.storageReplied(.rowsMerged(from: .c(2), rows, outcome))) == [
                .publish([.of("t1")]),
                .send([.c(2)], .rowStates(self.page(5))),
            ]
        )
    }

    // MARK: - What was not asked for

    /// A machine that waits for the host's rows of the keys 1...9 of table t2, in round 1.
    private func exchanging() -> RoundStateMachine {
        var machine = self.asking()
        _ = machine.answered(DigestReport(round: 1, vector: .v(1), tables: self.tables(1, 2)))
        _ = machine.hashed(RowHashPage(round: 1, table: "t2", after: nil, through: .integer(9), rows: []))
        return machine
    }

    @Test("rows of another table, wishes outside the range, and an answer that goes nowhere end the round")
    func notAskedFor() {
        var other = self.exchanging()
        #expect(other.received(self.page(1, "t1", payload: [1])) == self.finished(.differs))
        var wish = self.exchanging()
        #expect(wish.received(self.page(1, "t2", wanted: [.integer(10)])) == self.finished(.differs))
        var back = self.exchanging()
        var page = self.page(1, "t2")
        page.covered = .integer(10)
        #expect(back.received(page) == self.finished(.differs))
    }

    @Test("an answer without end, and one with more keys than a page can have, end the round")
    func endless() {
        var machine = self.exchanging()
        let page = self.page(1, "t2", wanted: [.integer(1)], isLast: false)
        for _ in 0..<CoreLimits.repairPagesMax { #expect(machine.received(page) == []) }
        #expect(machine.received(page) == self.finished(.differs))
        var keys = self.exchanging()
        let many = Array(repeating: SQLiteValue.integer(1), count: CoreLimits.repairKeysMax)
        #expect(keys.received(self.page(1, "t2", wanted: many, isLast: false)) == [])
        #expect(keys.received(page) == self.finished(.differs))
    }

    @Test("an answer that covers a part of the page is continued from there")
    func partlyCovered() {
        var machine = self.exchanging()
        var part = self.page(1, "t2")
        part.covered = .integer(4)
        #expect(machine.received(part) == [.hash(round: 1, table: "t2", after: .integer(4))])
    }

    @Test("rows that do not fit into one answer follow after the host's receipt")
    func severalAnswers() {
        var machine = self.exchanging()
        let keys = [SQLiteValue.integer(1), .integer(2)]
        #expect(machine.received(self.page(1, "t2", wanted: keys)) == [.gather(round: 1, table: "t2", keys: keys)])
        let rows = self.page(1, "t2", payload: [1])
        #expect(machine.gathered([rows], rest: [.integer(2)]) == [.sendStates(rows)])
        #expect(machine.received(self.page(1, "t2")) == [.gather(round: 1, table: "t2", keys: [.integer(2)])])
        #expect(machine.gathered([rows]) == [.sendStates(rows)])
        #expect(machine.received(self.page(1, "t2")) == [.hash(round: 1, table: "t2", after: .integer(9))])
    }

    @Test("a client that asks without end is at fault")
    func tooManyQuestions() {
        var host = Bench(.host)
        host.start()
        host.connect(2, to: .client(2))
        let question = Message.digests(DigestReport(round: 1, vector: .v(), tables: []))
        for _ in 0..<4 { #expect(host.give(.received(.c(2), question)).closes == []) }
        #expect(host.give(.received(.c(2), question)).closes == [.protocolViolation])
    }
}
