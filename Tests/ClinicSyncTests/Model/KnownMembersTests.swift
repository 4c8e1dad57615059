import ClinicSyncModel
import Testing

@Suite("The members that are known by signatures") struct KnownMembersTests {
    @Test("present and past members are known, nobody else is, and connected ones count once")
    func counts() {
        let members = KnownMembers(present: [.n(5), .n(1), .n(3)], past: [.n(3), .n(4)])
        #expect(members.present == [.n(1), .n(3), .n(5)])
        #expect(members.past == [.n(4)])
        #expect((0...6).filter { members.knows(.n($0)) } == [1, 3, 4, 5])
        #expect(members.count(with: []) == 3)
        #expect(members.count(with: [.n(1), .n(9), .n(9)]) == 4)
        #expect(KnownMembers().count(with: [.n(1)]) == 1)
        #expect(!KnownMembers().knows(.n(1)))
    }

    @Test("members that lapsed count only while they are connected, and stay members")
    func lapsed() {
        var members = KnownMembers(present: [.n(1), .n(2), .n(3), .n(4)])
        members.lapsed = [.n(3), .n(4), .n(4), .n(9)]
        #expect(members.count(with: [.n(1)]) == 2)
        #expect(members.count(with: [.n(1), .n(4)]) == 3)
        #expect(members.count(with: [.n(9)]) == 3)
        #expect(members.knows(.n(4)))
    }
}
