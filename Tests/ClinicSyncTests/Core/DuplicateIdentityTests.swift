import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("Two processes with one identity")
struct DuplicateIdentityTests {
    /// Opens a connection with node 2, whose process has the run id `run`.
    private func connect(_ id: UInt64, run: UInt64, dialled: String? = nil, to bench: inout Bench) -> [Effect] {
        bench.give(.connectionOpened(.c(id), dialled: dialled, peer: .n(2)))
            + bench.give(.received(.c(id), .hello(.of(.client(2), runID: run))))
    }

    @Test("a node that was started again takes its own place, however often")
    func startedAgain() {
        var host = Bench(.host)
        host.start()
        for run in 1...20 as ClosedRange<UInt64> {
            let effects = self.connect(run, run: run, to: &host)
            #expect(effects.closes == (run == 1 ? [] : [.replaced]))
            host.advance(.milliseconds(1_900))
            host.give(.timerFired(.heartbeat))
            host.advance(.milliseconds(100))
            if run > 1 { host.give(.received(.c(run), .ping(Ping(id: 1)))) }
        }
        #expect(host.node.status(at: host.now).duplicates == [])
    }

    @Test("a node that was started again takes the place of a link that this node dialled; one process does not")
    func dialledBefore() {
        for (run, closed) in [(1, 2), (2, 1)] as [(UInt64, UInt64)] {
            var host = Bench(.host)
            host.start()
            #expect(self.connect(1, run: 1, dialled: "pc2:1", to: &host).closes == [])
            #expect(self.connect(2, run: run, to: &host).contains(.close(.c(closed), .replaced)))
            #expect(host.node.status(at: host.now).peers.first?.isConnected == true)
            #expect(host.node.status(at: host.now).duplicates == [])
        }
    }

    @Test("a process that comes back after another took its place is refused, and both are told, now and then")
    func comesBack() {
        var host = Bench(.host)
        host.start()
        _ = self.connect(1, run: 1, to: &host)
        #expect(self.connect(2, run: 2, to: &host).closes == [.replaced])
        let found = self.connect(3, run: 1, to: &host)
        #expect(found.contains(.notify(.duplicateIdentity(.n(2), isSelf: false))))
        #expect(found.contains(.close(.c(2), .duplicateIdentity)))
        #expect(found.contains(.close(.c(3), .duplicateIdentity)))
        #expect(host.node.status(at: host.now).duplicates == [.n(2)])
        // The process that came last stays connected. The other is refused and no longer disturbs it.
        #expect(self.connect(4, run: 2, to: &host).closes == [])
        #expect(self.connect(5, run: 1, to: &host).closes == [.duplicateIdentity])
        #expect(host.node.status(at: host.now).peers.first?.isConnected == true)
        host.advance(RunWatch.tellInterval)
        let again = self.connect(6, run: 1, to: &host)
        #expect(again.contains(.close(.c(4), .duplicateIdentity)))
        // The node does not report the duplicate without end.
        host.advance(RunWatch.memory)
        #expect(host.node.status(at: host.now).duplicates == [])
    }

    @Test("a node that is told of a second process says so itself, and stops saying it when it is told no more")
    func isTold() {
        var client = Bench(.client(2))
        client.start()
        func tell(_ id: UInt64, _ bench: inout Bench) -> [Effect] {
            bench.give(.connectionOpened(.c(id), dialled: "host:1", peer: .n(1)))
                + bench.give(.received(.c(id), .goodbye(.duplicateIdentity)))
        }
        let notice = Effect.notify(.duplicateIdentity(.n(2), isSelf: true))
        #expect(tell(1, &client).contains(notice))
        #expect(client.node.status(at: client.now).duplicates == [.n(2)])
        #expect(!tell(2, &client).contains(notice))
        client.advance(RunWatch.memory)
        #expect(client.node.status(at: client.now).duplicates == [])
        #expect(tell(3, &client).contains(notice))
    }

    @Test("a node that dials itself is no second process; one that dials its copy finds it")
    func dialsItself() {
        for (run, isOther) in [(nil, false), (77, true)] as [(UInt64?, Bool)] {
            var host = Bench(.host)
            host.start()
            host.give(.connectionOpened(.c(1), dialled: nil, peer: .n(1)))
            let effects = host.give(.received(.c(1), .hello(.of(.host, runID: run))))
            #expect(effects.closes == [.duplicateIdentity])
            #expect(host.node.status(at: host.now).duplicates == (isOther ? [.n(1)] : []))
            // The other end of the same connection learns nothing from it.
            host.give(.connectionOpened(.c(2), dialled: "self:1", peer: .n(1)))
            let told = host.give(.received(.c(2), .goodbye(.duplicateIdentity)))
            #expect(!told.contains(.notify(.duplicateIdentity(.n(1), isSelf: true))))
        }
    }

    @Test("what is remembered of run ids is bounded, and 0 says nothing")
    func bounds() {
        var watch = RunWatch()
        #expect(watch.heard(0, of: .n(1), at: .zero) == .single)
        for run in 1...100 as ClosedRange<UInt64> { #expect(watch.heard(run, of: .n(1), at: .zero) == .single) }
        #expect(watch.heard(99, of: .n(1), at: .zero) == .outlived(isNews: true))
        #expect(watch.heard(1, of: .n(1), at: .zero) == .single)
        for node in 2...2_000 as ClosedRange<UInt64> { #expect(watch.heard(5, of: .n(node), at: .zero) == .single) }
        #expect(watch.heard(99, of: .n(1), at: .zero) == .single)
    }
}
