import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("The machine of state transfers") struct StateTransferMachineTests {
    private let offer = StateOffer(rows: 100, bytes: 10_000)
    private let vector = VersionVector.v(5)
    private let through = VersionVector.v(6)

    private func request(_ id: UInt64, _ vector: VersionVector = .v(), after: StateCursor? = nil) -> StateRequest {
        StateRequest(id: id, vector: vector, after: after, creditBytes: CoreLimits.stateAnswerBytes)
    }

    private func asks(_ connection: UInt64, _ request: StateRequest) -> Directive {
        .send(.c(connection), .state(.request(request)))
    }

    private func stages(
        _ pages: [StatePage],
        end: StateEnd? = nil,
        from connection: UInt64,
        behind place: StateCursor? = nil
    ) -> Directive {
        let answer = StateAnswer(pages: pages, end: end)
        return .submit(.stageState(from: .c(connection), answer, behind: place))
    }

    private func page(
        _ id: UInt64,
        _ table: String,
        _ key: String? = nil,
        vector: VersionVector = .v(5),
        isLast: Bool = true
    ) -> StatePage {
        StatePage(
            id: id,
            vector: vector,
            table: table,
            through: key.map { .string($0) },
            checksum: 0,
            payload: [1, 2, 3],
            rows: table.isEmpty ? 0 : 1,
            isLast: isLast
        )
    }

    private func staged(
        _ table: String,
        _ key: String? = nil,
        through: VersionVector? = nil,
        vector: VersionVector = .v(5)
    ) -> StagedState {
        StagedState(
            vector: vector,
            cursor: StateCursor(table: table, key: key.map { .string($0) }),
            rows: 1,
            bytes: 3,
            through: through
        )
    }

    /// A machine that was offered a state by 1, and asked for it.
    private func receiving() -> StateTransferStateMachine {
        var machine = StateTransferStateMachine()
        #expect(machine.received(.offer(self.offer), on: .c(1), at: .zero) == [self.asks(1, self.request(1))])
        return machine
    }

    @Test("an answer is stored as a whole, and the next one is asked for meanwhile; the end is shown")
    func receives() {
        var machine = self.receiving()
        let (first, second) = (self.page(1, "", isLast: false), self.page(1, "bills", "b1"))
        #expect(machine.received(.page(first), on: .c(1), at: .zero) == [])
        #expect(
            machine.received(.page(second), on: .c(1), at: .zero) == [
                self.stages([first, second], from: 1),
                self.asks(1, self.request(2, self.vector, after: second.cursor)),
            ]
        )
        #expect(machine.staged(self.staged("bills", "b1"), from: .c(1), at: .zero) == [])
        let last = self.page(2, "bills", isLast: false)
        #expect(machine.received(.page(last), on: .c(1), at: .zero) == [])
        let end = StateEnd(id: 2, vector: self.vector, through: self.through)
        #expect(
            machine.received(.end(end), on: .c(1), at: .zero) == [
                self.stages([last], end: end, from: 1, behind: second.cursor)
            ]
        )
        let whole = self.staged("bills", through: self.through)
        #expect(
            machine.staged(whole, from: .c(1), at: .seconds(1)) == [.submit(.installState(isForced: false))]
        )
        machine.installed()
        #expect(machine.state == .idle && machine.staged == nil)
    }

    @Test("a state that waits for batches is tried again with each, and after half a minute without them")
    func waits() {
        var machine = StateTransferStateMachine()
        machine.start(self.staged("bills", through: self.through), at: .seconds(1))
        #expect(machine.keepHouse(at: .seconds(10)) == [.submit(.installState(isForced: false))])
        #expect(machine.stored(at: .seconds(10)) == [])
        machine.waits()
        #expect(machine.stored(at: .seconds(10)) == [.submit(.installState(isForced: false))])
        machine.waits()
        #expect(machine.keepHouse(at: .seconds(31)) == [.submit(.installState(isForced: true))])
        machine.installFailed(.unavailable("disk full"), at: .seconds(31))
        #expect(machine.keepHouse(at: .seconds(41)) == [.submit(.installState(isForced: true))])
    }

    @Test("a state that the store cannot merge is tried again after a time that doubles, whatever arrives meanwhile")
    func failures() {
        var machine = StateTransferStateMachine()
        machine.start(self.staged("bills", through: self.through), at: .zero)
        var time = Duration.zero
        for (index, seconds) in [10, 20, 40, 80, 160, 320, 600, 600].enumerated() {
            #expect(machine.stored(at: time) == [.submit(.installState(isForced: false))])
            machine.installFailed(.unavailable("disk full"), at: time)
            let failure = machine.progress(at: time)?.failure
            #expect(failure?.count == index + 1 && failure?.last == .unavailable("disk full"))
            let due = time + .seconds(seconds)
            #expect(failure?.retryAt == due)
            #expect(machine.stored(at: due - .seconds(1)) == [])
            #expect(machine.keepHouse(at: due - .seconds(1)) == [])
            time = due
        }
        // A sender that connects again and again does not make the store try more often.
        _ = machine.stored(at: time)
        machine.installFailed(.unavailable("disk full"), at: time)
        let requests = machine.received(.offer(self.offer), on: .c(2), at: time)
        #expect(requests == [self.asks(2, self.request(1, self.vector, after: StateCursor(table: "bills")))])
        let end = StateEnd(id: 1, vector: self.vector, through: self.through)
        #expect(machine.received(.end(end), on: .c(2), at: time).count == 1)
        #expect(machine.staged(self.staged("bills", through: self.through), from: .c(2), at: time) == [])
        #expect(machine.progress(at: time)?.failure?.count == 9)
        // Another state is merged at once.
        let other = self.staged("bills", through: .v(9), vector: .v(8))
        _ = machine.staged(other, from: .c(2), at: time)
        #expect(machine.stored(at: time) == [.submit(.installState(isForced: false))])
        machine.installed()
        #expect(machine.progress(at: time) == nil)
    }

    @Test("the progress has the rate since this process began, and the time that the rest takes at that rate")
    func progress() {
        var machine = StateTransferStateMachine()
        #expect(machine.progress(at: .zero) == nil)
        var staged = self.staged("bills", "b1")
        (staged.rows, staged.bytes) = (20, 2_000)
        machine.start(staged, at: .zero)
        #expect(machine.progress(at: .zero)?.source == nil)
        _ = machine.received(.offer(self.offer), on: .c(1), at: .seconds(10))
        let begun = machine.progress(at: .seconds(11))
        #expect(begun?.source == .c(1) && begun?.rows == 20 && begun?.rowsTotal == 100)
        #expect(begun?.bytesPerSecond == 0 && begun?.timeLeft == nil && begun?.isWhole == false)
        (staged.rows, staged.bytes) = (60, 8_000)
        _ = machine.staged(staged, from: .c(1), at: .seconds(14))
        let later = machine.progress(at: .seconds(14))
        #expect(later?.rows == 60 && later?.bytes == 8_000 && later?.bytesPerSecond == 1_500)
        #expect(later?.timeLeft == .seconds(4))
    }

    @Test("when the sender is gone, another peer continues behind the last page that is stored")
    func anotherSender() {
        var machine = self.receiving()
        #expect(machine.received(.offer(self.offer), on: .c(2), at: .zero) == [])
        _ = machine.received(.page(self.page(1, "")), on: .c(1), at: .zero)
        _ = machine.staged(self.staged(""), from: .c(1), at: .zero)
        let cursor = StateCursor(table: "")
        #expect(machine.lost(.c(1), at: .seconds(1)) == [self.asks(2, self.request(3, self.vector, after: cursor))])
        // What was on its way comes to nothing.
        #expect(machine.received(.page(self.page(2, "bills")), on: .c(1), at: .zero) == [])
        #expect(machine.lost(.c(2), at: .seconds(2)) == [])
        #expect(machine.state == .idle)
        #expect(
            machine.received(.offer(self.offer), on: .c(3), at: .seconds(3)) == [
                self.asks(3, self.request(4, self.vector, after: cursor))
            ]
        )
    }

    @Test("a sender is gone while the store works on its answers: the next one is asked from where the store is")
    func goneWhileStoring() {
        var machine = self.receiving()
        _ = machine.received(.offer(self.offer), on: .c(2), at: .zero)
        _ = machine.received(.page(self.page(1, "")), on: .c(1), at: .zero)
        _ = machine.staged(self.staged(""), from: .c(1), at: .zero)
        _ = machine.received(.page(self.page(2, "bills", "b5")), on: .c(1), at: .zero)
        let place = StateCursor(table: "")
        #expect(machine.lost(.c(1), at: .zero) == [self.asks(2, self.request(4, self.vector, after: place))])
        #expect(machine.staged(self.staged("bills", "b5"), from: .c(1), at: .zero) == [])
        let page = self.page(4, "bills", "b4")
        #expect(
            machine.received(.page(page), on: .c(2), at: .zero) == [
                self.stages([page], from: 2, behind: place),
                self.asks(2, self.request(5, self.vector, after: page.cursor)),
            ]
        )
        // The store has more already.
        #expect(machine.staged(self.staged("bills", "b5"), from: .c(2), at: .zero) == [])
        #expect(machine.state != .idle && machine.source == .c(2))
    }

    @Test("a sender that was lost when it had given everything is not needed any more")
    func goneAtTheEnd() {
        var machine = self.receiving()
        _ = machine.received(.page(self.page(1, "", isLast: false)), on: .c(1), at: .zero)
        _ = machine.received(.end(StateEnd(id: 1, vector: self.vector, through: self.through)), on: .c(1), at: .zero)
        #expect(machine.lost(.c(1), at: .zero) == [])
        let whole = self.staged("", through: self.through)
        #expect(machine.staged(whole, from: .c(1), at: .zero) == [.submit(.installState(isForced: false))])
    }

    @Test("a store that left out what it was given is asked about from where it is")
    func leftOut() {
        var machine = StateTransferStateMachine()
        machine.start(self.staged("bills", "b1"), at: .zero)
        _ = machine.received(.offer(self.offer), on: .c(1), at: .zero)
        _ = machine.received(.page(self.page(1, "bills", "b2")), on: .c(1), at: .zero)
        _ = machine.received(.page(self.page(2, "bills", "b3")), on: .c(1), at: .zero)
        // The first answer failed in a way that is tried again later; the second did not follow.
        #expect(machine.staged(self.staged("bills", "b1"), from: .c(1), at: .zero) == [])
        let place = StateCursor(table: "bills", key: .string("b2"))
        #expect(
            machine.staged(self.staged("bills", "b2"), from: .c(1), at: .zero) == [
                self.asks(1, self.request(4, self.vector, after: place))
            ]
        )
        // Another sender's answer began the state again.
        _ = machine.received(.page(self.page(4, "bills", "b3")), on: .c(1), at: .zero)
        let other = self.staged("", vector: .v(7))
        #expect(
            machine.staged(other, from: .c(1), at: .zero) == [
                self.asks(1, self.request(6, .v(7), after: other.cursor))
            ]
        )
    }

    @Test("an end that the store left out is asked for again")
    func endLeftOut() {
        var machine = StateTransferStateMachine()
        machine.start(self.staged("bills", "b1"), at: .zero)
        _ = machine.received(.offer(self.offer), on: .c(1), at: .zero)
        let end = StateEnd(id: 1, vector: self.vector, through: self.through)
        _ = machine.received(.page(self.page(1, "bills", isLast: false)), on: .c(1), at: .zero)
        _ = machine.received(.end(end), on: .c(1), at: .zero)
        let place = StateCursor(table: "bills", key: .string("b1"))
        #expect(
            machine.staged(self.staged("bills", "b1"), from: .c(1), at: .zero) == [
                self.asks(1, self.request(2, self.vector, after: place))
            ]
        )
    }

    @Test("a whole state whose sender is gone asks the next peer for the batches that it waits for")
    func tailFromAnother() {
        var machine = StateTransferStateMachine()
        machine.start(self.staged("bills", through: self.through), at: .zero)
        let cursor = StateCursor(table: "bills")
        #expect(
            machine.received(.offer(self.offer), on: .c(2), at: .zero) == [
                self.asks(2, self.request(1, self.vector, after: cursor))
            ]
        )
        let end = StateEnd(id: 1, vector: self.vector, through: .v(7))
        #expect(
            machine.received(.end(end), on: .c(2), at: .zero) == [
                self.stages([], end: end, from: 2, behind: cursor)
            ]
        )
    }

    @Test("a state whose beginning the store has forgotten begins again")
    func forgotten() {
        var machine = StateTransferStateMachine()
        machine.start(self.staged("bills", "b1"), at: .zero)
        _ = machine.received(.offer(self.offer), on: .c(1), at: .zero)
        _ = machine.received(.page(self.page(1, "bills")), on: .c(1), at: .zero)
        #expect(machine.staged(nil, from: .c(1), at: .zero) == [self.asks(1, self.request(3))])
        #expect(machine.staged == nil)
        // A state without authors is none.
        let page = self.page(3, "bills", vector: .v())
        #expect(machine.received(.page(page), on: .c(1), at: .zero) == [.close(.c(1), .protocolViolation)])
    }

    @Test("a sender that begins again is followed from the authors on")
    func beginsAgain() {
        var machine = StateTransferStateMachine()
        machine.start(self.staged("bills", "b1"), at: .zero)
        _ = machine.received(.offer(self.offer), on: .c(1), at: .zero)
        let page = self.page(1, "", vector: .v(4))
        #expect(
            machine.received(.page(page), on: .c(1), at: .zero) == [
                self.stages([page], from: 1, behind: StateCursor(table: "bills", key: .string("b1"))),
                self.asks(1, self.request(2, .v(4), after: StateCursor(table: ""))),
            ]
        )
    }

    @Test("a page out of its order, one beyond what was asked for, and an end without a beginning break the protocol")
    func violations() {
        func expectViolation(_ messages: StateMessage...) {
            var machine = self.receiving()
            _ = machine.received(.page(self.page(1, "", isLast: false)), on: .c(1), at: .zero)
            _ = machine.received(.page(self.page(1, "bills", "b5", isLast: false)), on: .c(1), at: .zero)
            var last: [Directive] = []
            for message in messages { last = machine.received(message, on: .c(1), at: .zero) }
            #expect(last == [.close(.c(1), .protocolViolation)])
        }
        expectViolation(.page(self.page(1, "bills", "b5")))
        expectViolation(.page(self.page(1, "appointments")))
        expectViolation(.page(self.page(1, "")))
        expectViolation(.page(self.page(1, "patients", vector: .v(9))))
        expectViolation(.end(StateEnd(id: 1, vector: .v(9), through: .v(9))))
        expectViolation(.end(StateEnd(id: 1, vector: .v(5), through: .v(4))))
        var large = self.page(1, "patients", "p1", isLast: false)
        large.payload = [UInt8](repeating: 0, count: Int(CoreLimits.stateAnswerBytes))
        expectViolation(.page(large), .page(self.page(1, "patients", "p2")))
        var machine = self.receiving()
        let end = StateEnd(id: 1, vector: .v(), through: .v())
        #expect(machine.received(.end(end), on: .c(1), at: .zero) == [.close(.c(1), .protocolViolation)])
    }

    @Test("a client takes its host's state alone, and another node only a state that has more than it has")
    func mayTake() {
        var client = StateTransferStateMachine()
        #expect(client.hostChanged(.c(1), at: .zero) == [])
        #expect(client.received(.offer(self.offer), on: .c(2), at: .zero) == [])
        #expect(client.received(.request(self.request(1)), on: .c(2), at: .zero).count == 1)
        // The peer becomes host.
        #expect(client.hostChanged(.c(2), at: .zero) == [self.asks(2, self.request(1))])
        var host = StateTransferStateMachine()
        #expect(host.received(.offer(self.offer), on: .c(2), hasMore: false, at: .zero) == [])
        #expect(
            host.received(.offer(self.offer), on: .c(3), hasMore: true, at: .zero) == [self.asks(3, self.request(1))]
        )
    }

    @Test("pages without end break the protocol")
    func tooMany() {
        var machine = self.receiving()
        _ = machine.received(.page(self.page(1, "")), on: .c(1), at: .zero)
        var staged = self.staged("")
        staged.bytes = 4 * self.offer.bytes + CoreLimits.stateBytesMin
        _ = machine.staged(staged, from: .c(1), at: .zero)
        #expect(machine.received(.page(self.page(2, "bills", "b1", isLast: false)), on: .c(1), at: .zero) == [])
        staged.bytes += 1
        _ = machine.staged(staged, from: .c(1), at: .zero)
        let directives = machine.received(.page(self.page(2, "bills", "b2")), on: .c(1), at: .zero)
        #expect(directives == [.close(.c(1), .protocolViolation)])
    }

    @Test("a sender reads one answer at a time, sends it in order, and keeps its log beyond the beginning")
    func sends() {
        var machine = StateTransferStateMachine()
        #expect(machine.needed(self.offer, by: .c(2)) == [.send(.c(2), .state(.offer(self.offer)))])
        let request = self.request(1)
        #expect(
            machine.received(.request(request), on: .c(2), at: .zero) == [
                .effect(.storage(.readState(for: .c(2), request)))
            ]
        )
        let next = self.request(2, self.vector, after: StateCursor(table: ""))
        #expect(machine.received(.request(next), on: .c(2), at: .zero) == [])
        #expect(
            machine.received(.request(next), on: .c(2), at: .zero) == [.close(.c(2), .protocolViolation)]
        )
        let (first, second) = (self.page(1, "", isLast: false), self.page(1, "bills"))
        #expect(
            machine.read(StateAnswer(pages: [first, second]), for: .c(2), .n(2), at: .zero) == [
                .send(.c(2), .state(.page(first))), .send(.c(2), .state(.page(second))),
                .effect(.storage(.pinState(.n(2), self.vector, isNew: true))),
                .effect(.storage(.readState(for: .c(2), next))),
            ]
        )
        let end = StateEnd(id: 2, vector: self.vector, through: self.through)
        #expect(
            machine.read(StateAnswer(pages: [], end: end), for: .c(2), .n(2), at: .seconds(1)) == [
                .send(.c(2), .state(.end(end)))
            ]
        )
        _ = machine.lost(.c(2), at: .seconds(2))
        #expect(machine.read(StateAnswer(pages: [], end: end), for: .c(2), .n(2), at: .seconds(3)) == [])
    }

    @Test("a peer that is offered the state gets nothing of the log before it has the state, then the log behind it")
    func outbound() {
        var outbound = PeerOutboundStateMachine(vector: .v(), partials: [], credit: 1_000)
        outbound.offered()
        #expect(outbound.state == .offered)
        outbound.located(3)
        #expect(outbound.nextRead(head: 9, maxBytes: 100) == nil)
        let isSent = outbound.offer(BatchChunk.of(1, 6).at(6))
        #expect(!isSent)
        #expect(outbound.locateAgain(.v(5)) == .v(5))
        #expect(outbound.locateAgain() == nil)
        outbound.located(5)
        let read = outbound.nextRead(head: 9, maxBytes: 100)
        #expect(read?.after == 5)
    }

    @Test("the data's machine offers the state, and asks for the place in the log when all of it was sent")
    func data() {
        var machine = DataStateMachine(.host)
        let hello = Hello.of(.client(2))
        let introduction = PeerIntroduction(
            connection: .c(2),
            identity: PeerIdentity(.n(2), hello),
            hello: hello
        )
        _ = machine.linked(introduction)
        _ = machine.endIsolation(.host())
        let locating = Directive.effect(.storage(.locate(for: .c(2), vector: .v(), takesState: true)))
        #expect(machine.restamped(peers: [.follower(2)]) == [locating])
        #expect(
            machine.replied(.stateNeeded(for: .c(2), self.offer), .host()) == [
                .send(.c(2), .state(.offer(self.offer)))
            ]
        )
        _ = machine.received(.state(.request(self.request(1))), on: .c(2), .host())
        let end = StateEnd(id: 1, vector: self.vector, through: self.through)
        #expect(
            machine.replied(.stateRead(for: .c(2), StateAnswer(pages: [], end: end)), .host()) == [
                .send(.c(2), .state(.end(end))),
                .effect(.storage(.locate(for: .c(2), vector: self.vector, takesState: true))),
            ]
        )
    }

    @Test("a node that got a state looks again from where it serves its peers: the log does not have what it got")
    func servesAfresh() {
        var outbound = PeerOutboundStateMachine(vector: .v(2), partials: [], credit: 1_000)
        outbound.located(3)
        #expect(outbound.nextRead(head: 3, maxBytes: 100) == nil)
        #expect(outbound.state == .live)
        #expect(outbound.locateAfresh() == .v(2))
        outbound.offered()
        #expect(outbound.state == .offered)
        var machine = DataStateMachine(.host)
        let hello = Hello.of(.client(2))
        _ = machine.linked(
            PeerIntroduction(connection: .c(2), identity: PeerIdentity(.n(2), hello), hello: hello)
        )
        _ = machine.endIsolation(.host())
        _ = machine.restamped(peers: [.follower(2)])
        _ = machine.replied(.located(for: .c(2), position: 0), .host())
        let outcome = StoreOutcome.of([], bytes: 0, vector: .v(5))
        let directives = machine.replied(.stateInstalled(rows: 3, outcome), .host())
        #expect(directives.contains(.effect(.storage(.locate(for: .c(2), vector: .v(), takesState: true)))))
    }
}
