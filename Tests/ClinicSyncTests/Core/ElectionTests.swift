import ClinicSyncCore
import ClinicSyncModel
import Testing

/// Each test reads as a transcript of inputs and actions.
@Suite("The election, as one node sees it") struct ElectionTests {
    private var generator = SplitMix64(seed: 1)
    private var now: Duration = .zero
    private var node = ElectionTests.node(2)

    private static func node(_ number: UInt64, priority: UInt32 = 100) -> ElectionStateMachine {
        ElectionStateMachine(candidacy: .of(number, priority: priority), timing: ElectionTiming())
    }

    private mutating func start(term: UInt64 = 0, isAlone: Bool = false) -> [ElectionStateMachine.Action] {
        self.node.restore(recordedTerm: term, at: self.now)
        return self.node.start(isAlone: isAlone, at: self.now, using: &self.generator)
    }

    private mutating func hear(_ id: UInt64, _ report: HostReport) -> [ElectionStateMachine.Action] {
        let node = report.candidacy.node
        return self.node.reported(.c(id), by: node, report, at: self.now, using: &self.generator)
    }

    private mutating func wait(_ time: Duration) -> [ElectionStateMachine.Action] {
        self.now += time
        return self.node.timerFired(at: self.now)
    }

    private mutating func lose(_ id: UInt64) -> [ElectionStateMachine.Action] {
        self.node.lost(.c(id), at: self.now, using: &self.generator)
    }

    /// Makes the node a client of node 1, host in `term`.
    private mutating func followOne(term: UInt64 = 1, successors: [UInt64] = []) {
        _ = self.start()
        _ = self.hear(1, .host(1, term: term, successors: successors))
        _ = self.node.recorded(term, at: self.now)
        #expect(self.node.hostConnection == .c(1))
    }

    // MARK: - A host is found, or made

    @Test("a node that knows nobody is host as soon as its term is written")
    mutating func alone() {
        #expect(self.start(isAlone: true) == [.record(term: 1)])
        #expect(!self.node.isHost)
        let reign = Reign(term: 1, candidacy: .of(2))
        #expect(self.node.recorded(1, at: self.now) == [.becomeHost(reign), .announce])
        #expect(self.node.isHost)
    }

    @Test("a node that knows others waits a second or a little more, then claims the next term")
    mutating func patient() {
        guard case .setTimer(let wait)? = self.start(term: 6).first else {
            Issue.record("it does not wait")
            return
        }
        #expect((.seconds(1)...Duration.milliseconds(1_250)).contains(wait))
        #expect(self.wait(.milliseconds(900)).count == 1)
        #expect(self.wait(.milliseconds(400)) == [.record(term: 7)])
    }

    @Test("a host that is met is followed when its term is written, not before")
    mutating func meets() {
        _ = self.start()
        #expect(self.hear(1, .host(1, term: 4)) == [.record(term: 4)])
        #expect(self.node.hostConnection == nil)
        let reign = Reign(term: 4, candidacy: .of(1))
        #expect(self.node.recorded(4, at: self.now) == [.follow(.c(1), reign, wasHost: false), .announce])
        #expect(self.node.hostConnection == .c(1))
    }

    @Test("a host of a lower term than was followed before is refused; it claims a higher one and is followed then")
    mutating func lowerTerm() {
        _ = self.start(term: 5)
        #expect(self.hear(1, .host(1, term: 4)) == [])
        var host = ElectionTests.node(1)
        host.restore(recordedTerm: 3, at: .zero)
        _ = host.start(isAlone: true, at: .zero, using: &self.generator)
        _ = host.recorded(4, at: self.now)
        let searching = HostReport.searching(2, term: 5)
        let answer = host.reported(.c(9), by: .n(2), searching, at: .zero, using: &self.generator)
        #expect(answer == [.record(term: 6)])
        _ = host.recorded(6, at: self.now)
        #expect(host.reign == Reign(term: 6, candidacy: .of(1)))
        #expect(self.hear(1, .host(1, term: 6)) == [.record(term: 6)])
    }

    @Test("a peer cannot lift the term above the largest one, with which hosts are lost, found and changed as ever")
    mutating func largestTerm() {
        let max = Bounds.termMax
        #expect(self.start(isAlone: true) == [.record(term: 1)])
        _ = self.node.recorded(1, at: self.now)
        #expect(self.hear(3, .searching(3, term: max)) == [.record(term: max)])
        _ = self.node.recorded(max, at: self.now)
        #expect(self.node.reign == Reign(term: max, candidacy: .of(2)))
        // Another host of the largest term: the better candidacy decides, here the larger id.
        #expect(self.hear(1, .host(1, term: max)).isEmpty || self.node.isHost)
        #expect(
            self.hear(4, .host(4, term: max)).contains(
                .follow(.c(4), Reign(term: max, candidacy: .of(4)), wasHost: true)
            )
        )
        // The host hands over to this node, whose candidacy is the lower one: the host follows its claim.
        #expect(self.node.handedOver(by: .c(4)) == [.record(term: max)])
        _ = self.node.recorded(max, at: self.now)
        let reign = self.node.reign
        #expect(self.node.isHost)
        #expect((reign ?? Reign(term: 1, candidacy: .of(1))) > Reign(term: max, candidacy: .of(4)))
        // The host before it is gone, and a node that knew it claims.
        var other = ElectionTests.node(1)
        other.restore(recordedTerm: max, at: .zero)
        #expect(other.start(isAlone: true, at: .zero, using: &self.generator) == [.record(term: max)])
        #expect(other.recorded(max, at: self.now).contains(.becomeHost(Reign(term: max, candidacy: .of(1)))))
    }

    @Test("a node of priority 0 never claims, but follows")
    mutating func neverHost() {
        self.node = ElectionTests.node(2, priority: 0)
        _ = self.start(isAlone: true)
        #expect(!self.wait(.seconds(60)).contains { if case .record = $0 { true } else { false } })
        _ = self.hear(1, .host(1, term: 1))
        _ = self.node.recorded(1, at: self.now)
        #expect(self.node.hostConnection == .c(1))
        #expect(self.node.handedOver(by: .c(1)) == [])
    }

    @Test("a client names its host: it is sought, and while that client has it nobody else claims")
    mutating func hearsOfHost() {
        self.node.refresh(coverage: 5, at: self.now)
        _ = self.start()
        let reign = Reign(term: 3, candidacy: .of(1))
        #expect(self.hear(3, .client(3, of: reign)) == [.seek(reign, addresses: ["pc1:1"])])
        #expect(self.wait(.seconds(2)) == [.setTimer(after: .milliseconds(250))])
        #expect(self.hear(3, .searching(3, term: 3)) == [.record(term: 4)])
    }

    @Test("of two that search the better claims first; the other waits a second longer, not for ever")
    mutating func outranked() {
        _ = self.start()
        _ = self.hear(3, .searching(3, term: 0))
        #expect(self.wait(.milliseconds(1_300)).contains { if case .record = $0 { true } else { false } } == false)
        #expect(self.wait(.milliseconds(1_000)) == [.record(term: 1)])
    }

    @Test("nodes that search name the best of them, so that two who know only a third do not both claim")
    mutating func nominee() {
        _ = self.start()
        #expect(self.hear(1, .searching(1, term: 0)).first != .announce)
        #expect(self.hear(4, .searching(4, term: 0)).first == .announce)
        #expect(self.node.report(addresses: []).successors.map(\.node) == [.n(4)])
        #expect(self.hear(3, .searching(3, term: 0)).first != .announce)
        _ = self.lose(4)
        #expect(self.node.report(addresses: []).successors.map(\.node) == [.n(3)])
        // A worse peer knows a better one than this node.
        self.node = ElectionTests.node(2)
        _ = self.start()
        _ = self.hear(1, .searching(1, term: 0, best: 9))
        #expect(!self.wait(.milliseconds(1_300)).contains(.record(term: 1)))
        // This node is the best that the peer knows.
        #expect(self.hear(1, .searching(1, term: 0, best: 2)) == [.record(term: 1)])
    }

    @Test("a node claims when those that it asked have answered, or two seconds later")
    mutating func asked() {
        for wait in [Duration.milliseconds(300), .seconds(9)] {
            self.node = ElectionTests.node(2)
            _ = self.start()
            self.node.refresh(coverage: 0, asked: [.n(7)], at: self.now)
            #expect(self.wait(.milliseconds(1_300)) == [.setTimer(after: .milliseconds(250))])
            if wait < .seconds(1) { self.node.refresh(coverage: 0, asked: [], at: self.now) }
            #expect(self.wait(wait) == [.record(term: 1)])
        }
    }

    // MARK: - The host is lost

    @Test("a successor waits for the one before it, while that has accepted its socket, and for nobody else")
    mutating func awaited() {
        self.followOne(successors: [7, 2, 8])
        self.node.refresh(coverage: 0, asked: [.n(7)], at: self.now)
        _ = self.lose(1)
        #expect(self.wait(.milliseconds(300)) == [.setTimer(after: .milliseconds(250))])
        self.node.refresh(coverage: 0, asked: [.n(1), .n(8), nil], at: self.now)
        #expect(self.wait(.milliseconds(10)) == [.record(term: 2)])
        // The one before it searches as well: it is claiming.
        self.node = ElectionTests.node(2)
        self.followOne(successors: [7, 2, 8])
        _ = self.hear(3, .searching(7, term: 1))
        _ = self.lose(1)
        #expect(self.wait(.milliseconds(300)) == [.setTimer(after: .milliseconds(250))])
        #expect(self.wait(.seconds(1)) == [.record(term: 2)])
    }

    @Test("the first successor claims a tenth of a second after the loss, the second later, all others later still")
    mutating func succession() {
        for (place, expected) in [(0, 100), (1, 250), (2, 400)] {
            self.node = ElectionTests.node(2)
            var names: [UInt64] = [7, 8, 9]
            names[place] = 2
            self.followOne(successors: names)
            #expect(self.lose(1) == [.search, .announce, .setTimer(after: .milliseconds(expected))])
            #expect(self.wait(.milliseconds(expected)) == [.record(term: 2)])
        }
        self.node = ElectionTests.node(2)
        self.followOne(successors: [7, 8, 9])
        guard case .setTimer(let wait)? = self.lose(1).last else {
            Issue.record("it does not wait")
            return
        }
        #expect((.milliseconds(550)...Duration.milliseconds(700)).contains(wait))
    }

    @Test("a claim that another was faster with is given up")
    mutating func lateClaim() {
        self.followOne(successors: [2])
        _ = self.lose(1)
        #expect(self.wait(.milliseconds(100)) == [.record(term: 2)])
        #expect(self.hear(3, .host(3, term: 3)) == [.record(term: 3)])
        #expect(self.node.recorded(2, at: self.now) == [])
        let reign = Reign(term: 3, candidacy: .of(3))
        #expect(self.node.recorded(3, at: self.now) == [.follow(.c(3), reign, wasHost: false), .announce])
    }

    @Test("a term that cannot be written is neither claimed nor followed, and tried again")
    mutating func unwritten() {
        _ = self.start(isAlone: true)
        #expect(self.node.recordingFailed(retryAfter: .seconds(1)) == [.setTimer(after: .seconds(1))])
        #expect(!self.node.isHost)
        #expect(self.wait(.seconds(1)) == [.record(term: 2)])
        #expect(self.hear(1, .host(1, term: 5)) == [.record(term: 5)])
        _ = self.node.recordingFailed(retryAfter: .seconds(1))
        #expect(self.wait(.seconds(1)) == [.record(term: 5)])
        _ = self.node.recorded(5, at: self.now)
        #expect(self.node.hostConnection == .c(1))
    }

    @Test("a host that answers as a host no more is lost as if it were gone")
    mutating func demoted() {
        self.followOne(successors: [2])
        #expect(self.hear(1, .searching(1, term: 1)).first == .search)
        #expect(self.node.reign == nil)
    }

    // MARK: - Two hosts

    @Test("of two hosts that meet the lower one steps down at once, and both say so")
    mutating func split() {
        _ = self.start(isAlone: true)
        _ = self.node.recorded(1, at: self.now)
        #expect(self.hear(1, .host(1, term: 7)) == [.record(term: 7)])
        #expect(self.node.isHost)
        let reign = Reign(term: 7, candidacy: .of(1))
        #expect(
            self.node.recorded(7, at: self.now) == [
                .healed(other: .n(1)), .follow(.c(1), reign, wasHost: true), .announce,
            ]
        )
        self.node = ElectionTests.node(2)
        _ = self.start(term: 7, isAlone: true)
        _ = self.node.recorded(8, at: self.now)
        #expect(self.hear(1, .host(1, term: 7)) == [.healed(other: .n(1))])
        #expect(self.node.isHost)
    }

    @Test(
        "a host without clients yields to one with clients, whatever the terms, and is not followed by that one's clients"
    )
    mutating func lone() {
        _ = self.start(term: 7, isAlone: true)
        _ = self.node.recorded(8, at: self.now)
        #expect(
            self.hear(1, .host(1, term: 3, successors: [5])) == [.search, .announce, .setTimer(after: .seconds(1))]
        )
        #expect(self.hear(1, .host(1, term: 9, successors: [5])) == [.record(term: 9)])
        _ = self.node.recorded(9, at: self.now)
        #expect(self.node.hostConnection == .c(1))
        #expect(self.hear(4, .host(4, term: 12)) == [])
        self.node = ElectionTests.node(2)
        _ = self.start(isAlone: true)
        _ = self.node.recorded(1, at: self.now)
        #expect(self.node.chooseSuccessors(among: [.follower(4)], vector: VersionVector()) == true)
        #expect(self.hear(1, .host(1, term: 7)) == [.healed(other: .n(1))])
        #expect(self.node.isHost)
    }

    @Test("a claim is given up for a host that is met while the term is written, whatever the terms")
    mutating func metWhileClaiming() {
        self.followOne(term: 5, successors: [3, 2])
        _ = self.lose(1)
        #expect(self.wait(.milliseconds(250)) == [.record(term: 6)])
        // Only the connection was lost.
        let reign = Reign(term: 5, candidacy: .of(1))
        let actions = self.hear(4, .host(1, term: 5, successors: [3]))
        #expect(actions == [.follow(.c(4), reign, wasHost: false), .announce])
        #expect(self.node.recorded(6, at: self.now) == [])
        #expect(self.node.hostConnection == .c(4))
        // The term that it wrote down is used up.
        _ = self.lose(4)
        #expect(self.wait(.seconds(1)) == [.record(term: 7)])
    }

    @Test("a host that loses its clients yields to a host with clients that it has met before")
    mutating func loneLater() {
        _ = self.start(term: 7, isAlone: true)
        _ = self.node.recorded(8, at: self.now)
        #expect(self.node.chooseSuccessors(among: [.follower(4)], vector: VersionVector()) == true)
        #expect(self.hear(1, .host(1, term: 3, successors: [5])) == [.healed(other: .n(1))])
        #expect(self.wait(.zero) == [])
        #expect(self.node.chooseSuccessors(among: [], vector: VersionVector()) == true)
        #expect(self.wait(.zero) == [.search, .announce, .setTimer(after: .seconds(1))])
    }

    @Test(
        "a host that is about to follow names no successors; if the other steps down meanwhile, it goes on and outbids it"
    )
    mutating func aboutToFollow() {
        #expect(self.start(isAlone: true) == [.record(term: 1)])
        _ = self.node.recorded(1, at: self.now)
        let clients = [LinkedPeer.follower(3), .follower(4)]
        let isChanged = self.node.chooseSuccessors(among: clients, vector: VersionVector())
        #expect(isChanged)
        self.node.nameHeir(.n(3))
        #expect(self.hear(3, .host(3, term: 2)) == [.record(term: 2)])
        let isChangedAgain = self.node.chooseSuccessors(among: [.follower(4)], vector: VersionVector())
        #expect(!isChangedAgain)
        #expect(self.hear(3, .searching(3, term: 2)) == [])
        #expect(self.node.recorded(2, at: self.now) == [.record(term: 3)])
        _ = self.node.recorded(3, at: self.now)
        #expect(self.node.isHost)
    }

    @Test("a new host outbids a peer that named a higher term while the claim was written")
    mutating func refusedClaim() {
        #expect(self.start(isAlone: true) == [.record(term: 1)])
        #expect(self.hear(3, .searching(3, term: 4)) == [])
        let reign = Reign(term: 1, candidacy: .of(2))
        #expect(self.node.recorded(1, at: self.now) == [.becomeHost(reign), .announce, .record(term: 5)])
        _ = self.node.recorded(5, at: self.now)
        #expect(self.node.reign == Reign(term: 5, candidacy: .of(2)))
    }

    @Test("of two claims of one term the better candidate's holds, on every node the same")
    mutating func sameTerm() {
        let reigns = [Reign(term: 2, candidacy: .of(3)), Reign(term: 2, candidacy: .of(4, coverage: 9))]
        #expect(reigns[0] < reigns[1])
        _ = self.start()
        for number in [3, 4] as [UInt64] {
            _ = self.hear(number, .host(number, term: 2, coverage: number == 4 ? 9 : 0, successors: [7]))
            _ = self.node.recorded(2, at: self.now)
        }
        #expect(self.node.hostConnection == .c(4))
        #expect(self.hear(3, .host(3, term: 2)) == [])
    }

    @Test("a host that hears of a better one through a client seeks it, and goes on until it meets it")
    mutating func hearsOfBetter() {
        _ = self.start(isAlone: true)
        _ = self.node.recorded(1, at: self.now)
        let better = Reign(term: 4, candidacy: .of(1))
        #expect(self.hear(3, .client(3, of: better)) == [.seek(better, addresses: ["pc1:1"])])
        #expect(self.node.isHost)
        let worse = Reign(term: 1, candidacy: .of(1))
        #expect(self.node.chooseSuccessors(among: [.follower(5)], vector: VersionVector()) == true)
        #expect(self.hear(4, .client(4, of: worse)) == [])
    }

    @Test(
        "a host without clients seeks the host of a client that it meets, whatever the terms: it would yield to that host"
    )
    mutating func loneSeeks() {
        _ = self.start(term: 7, isAlone: true)
        _ = self.node.recorded(8, at: self.now)
        let other = Reign(term: 3, candidacy: .of(1))
        #expect(self.hear(4, .client(4, of: other)) == [.seek(other, addresses: ["pc1:1"])])
        #expect(self.node.isHost)
    }

    @Test(
        "a host that slept through its lease is none when it wakes, and claims a new term only when it finds no other"
    )
    mutating func sleeper() {
        _ = self.start(isAlone: true)
        _ = self.node.recorded(1, at: self.now)
        self.now += .seconds(5)
        #expect(self.node.woke(at: self.now) == [.search, .announce, .setTimer(after: .seconds(1))])
        #expect(!self.node.isHost)
        #expect(self.wait(.milliseconds(500)) == [.setTimer(after: .milliseconds(500))])
        #expect(self.wait(.milliseconds(500)) == [.record(term: 2)])
    }

    // MARK: - Hand-over and connections

    @Test("who is handed the reign claims at once, for its own host alone")
    mutating func handOver() {
        self.followOne(term: 3)
        #expect(self.node.handedOver(by: .c(8)) == [])
        #expect(self.node.handedOver(by: .c(1)) == [.record(term: 4)])
        _ = self.node.recorded(4, at: self.now)
        #expect(self.node.isHost)
    }

    @Test("who has asked another to take its place follows it at once, though it has no clients yet")
    mutating func heir() {
        _ = self.start(isAlone: true)
        _ = self.node.recorded(1, at: self.now)
        #expect(self.node.chooseSuccessors(among: [.follower(4)], vector: VersionVector()) == true)
        self.node.nameHeir(.n(3))
        #expect(self.hear(3, .host(3, term: 2)) == [.record(term: 2)])
        let reign = Reign(term: 2, candidacy: .of(3))
        #expect(self.node.recorded(2, at: self.now) == [.follow(.c(3), reign, wasHost: true), .announce])
    }

    @Test("a second connection with the host takes the first one's place, and losing that loses nothing")
    mutating func secondConnection() {
        self.followOne()
        let reign = Reign(term: 1, candidacy: .of(1))
        #expect(self.hear(2, .host(1, term: 1)) == [.follow(.c(2), reign, wasHost: false)])
        #expect(self.lose(1) == [])
        #expect(self.node.hostConnection == .c(2))
    }

    @Test("a second connection with a better host takes the first one's place while the host's term is written")
    mutating func secondConnectionWhileRecording() {
        _ = self.start(isAlone: true)
        _ = self.node.recorded(1, at: self.now)
        _ = self.hear(1, .host(1, term: 7))
        _ = self.hear(2, .host(1, term: 7))
        _ = self.lose(1)
        _ = self.node.recorded(7, at: self.now)
        #expect(self.node.hostConnection == .c(2))
    }

    @Test("a client follows a better host over its newer connection, too")
    mutating func secondConnectionOfClient() {
        self.followOne()
        _ = self.hear(2, .host(3, term: 7, successors: [4]))
        _ = self.hear(3, .host(3, term: 7, successors: [4]))
        _ = self.lose(2)
        _ = self.node.recorded(7, at: self.now)
        #expect(self.node.hostConnection == .c(3))
    }

    @Test("a node claims after all when its new host is lost, or steps down, while its term is written")
    mutating func lostWhileRecording() {
        for stepsDown in [false, true] {
            self.node = ElectionTests.node(2)
            _ = self.start()
            #expect(self.hear(1, .host(1, term: 7)) == [.record(term: 7)])
            // The timer is due meanwhile, and nothing restarts it.
            #expect(self.wait(.seconds(9)) == [])
            if stepsDown {
                _ = self.hear(1, .searching(1, term: 7))
                #expect(self.node.recorded(7, at: self.now) == [.record(term: 8)])
            } else {
                #expect(self.lose(1) == [.record(term: 8)])
            }
        }
    }

    @Test("clients of one host close what connects them; who still searches keeps its connections")
    mutating func tidies() {
        _ = self.start()
        let reign = Reign(term: 1, candidacy: .of(1))
        _ = self.hear(3, .client(3, of: reign))
        _ = self.hear(4, .searching(4, term: 0))
        _ = self.hear(1, .host(1, term: 1))
        #expect(self.node.recorded(1, at: self.now).last == .close(.c(3)))
        #expect(self.lose(3) == [])
        #expect(self.hear(4, .client(4, of: reign)) == [.close(.c(4))])
    }

    // MARK: - A locked store

    @Test("a host with a locked store follows its heir at once, and writes the term when the store works")
    mutating func lockedHost() {
        _ = self.start(isAlone: true)
        _ = self.node.recorded(1, at: self.now)
        _ = self.hear(1, .client(1, of: Reign(term: 1, candidacy: .of(2))))
        #expect(self.node.storeLocked() == [.announce])
        #expect(self.node.storeLocked() == [])
        #expect(self.node.report(addresses: []).candidacy.priority == 0)
        #expect(self.node.isHost)
        self.node.nameHeir(.n(1))
        let reign = Reign(term: 2, candidacy: .of(1))
        #expect(self.hear(1, .host(1, term: 2)) == [.follow(.c(1), reign, wasHost: true), .announce])
        #expect(self.node.storeUnlocked(at: self.now) == [.record(term: 2), .announce])
        #expect(self.node.recorded(2, at: self.now) == [])
        #expect(self.node.report(addresses: []).candidacy.priority == 100)
        #expect(self.node.hostConnection == .c(1))
        #expect(self.node.storeUnlocked(at: self.now) == [])
    }

    @Test("a node with a locked store claims nothing, and claims again when the store works")
    mutating func lockedClaim() {
        self.followOne()
        #expect(self.node.handedOver(by: .c(1)) == [.record(term: 2)])
        #expect(self.node.storeLocked() == [.announce])
        // The store writes the term after all: nobody expects the claim any more.
        #expect(self.node.recorded(2, at: self.now) == [])
        #expect(self.node.hostConnection == .c(1))
        #expect(self.node.handedOver(by: .c(1)) == [])
        _ = self.lose(1)
        #expect(!self.wait(.seconds(60)).contains { if case .record = $0 { true } else { false } })
        #expect(self.node.storeUnlocked(at: self.now) == [.announce, .record(term: 3)])
    }

    @Test("a host that waits for the store to be followed is followed when the store turns out to be locked")
    mutating func lockedFollower() {
        _ = self.start()
        #expect(self.hear(1, .host(1, term: 4)) == [.record(term: 4)])
        let reign = Reign(term: 4, candidacy: .of(1))
        #expect(self.node.storeLocked() == [.follow(.c(1), reign, wasHost: false), .announce])
        #expect(self.node.recorded(4, at: self.now) == [])
        #expect(self.node.storeUnlocked(at: self.now) == [.announce])
    }

    @Test("a host with a locked store does not outbid a higher term, and does when the store works")
    mutating func lockedOutbid() {
        _ = self.start(isAlone: true)
        _ = self.node.recorded(1, at: self.now)
        _ = self.node.storeLocked()
        #expect(self.hear(3, .searching(3, term: 5)) == [])
        #expect(self.node.storeUnlocked(at: self.now) == [.announce, .record(term: 6)])
    }
}

extension Candidacy {
    fileprivate static func of(_ number: UInt64, priority: UInt32 = 100, coverage: UInt64 = 0) -> Candidacy {
        Candidacy(priority: priority, coverage: coverage, uptimeBucket: 0, node: .n(number))
    }
}

extension HostReport {
    fileprivate static func host(
        _ number: UInt64,
        term: UInt64,
        coverage: UInt64 = 0,
        successors: [UInt64] = []
    ) -> HostReport {
        let candidacy = Candidacy.of(number, coverage: coverage)
        return HostReport(
            role: .host,
            term: term,
            reign: Reign(term: term, candidacy: candidacy),
            addresses: ["pc\(number):1"],
            candidacy: candidacy,
            successors: successors.map { NodeAddresses(node: .n($0), addresses: ["pc\($0):1"]) }
        )
    }

    fileprivate static func client(_ number: UInt64, of reign: Reign) -> HostReport {
        HostReport(
            role: .client,
            term: reign.term,
            reign: reign,
            addresses: ["pc\(reign.host.low):1"],
            candidacy: .of(number),
            successors: []
        )
    }

    fileprivate static func searching(
        _ number: UInt64,
        term: UInt64,
        coverage: UInt64 = 0,
        best: UInt64? = nil
    ) -> HostReport {
        HostReport(
            role: .searching,
            term: term,
            reign: nil,
            addresses: [],
            candidacy: .of(number, coverage: coverage),
            successors: best.map { [NodeAddresses(node: .n($0), addresses: [])] } ?? []
        )
    }
}
