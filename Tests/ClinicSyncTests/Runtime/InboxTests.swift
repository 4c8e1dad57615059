import ClinicSyncCore
import Testing

@testable import ClinicSync

@Suite(.timeLimit(.minutes(1))) struct InboxTests {
    @Test("the status is made after what was posted before, by the one who takes the items")
    func order() async {
        let inbox = Inbox()
        inbox.post(.localCommitNoticed)
        async let status = inbox.status()
        var taken: [DriverItem] = []
        let items = inbox.makeAsyncIterator()
        var waiter: CheckedContinuation<CoreStatus?, Never>?
        while waiter == nil, let next = await items.next() {
            taken += next
            if case .statusRequested(let found) = taken.last { waiter = found }
        }
        guard case .input(.localCommitNoticed) = taken.first else { Issue.record("\(taken)"); return }
        #expect(taken.count == 2)
        waiter?.resume(returning: nil)
        #expect(await status == nil)
    }

    @Test("nobody waits for the status of a run that is over")
    func end() async {
        let inbox = Inbox()
        async let waiting = inbox.status()
        inbox.finish()
        #expect(await waiting == nil)
        #expect(await inbox.status() == nil)
    }
}
