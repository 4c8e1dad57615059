import ClinicSync
import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("The verdict about the clinic") struct VerdictTests {
    /// Facts, and the verdict that they must give.
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let facts: Verdict.Facts
        let state: Verdict.State
        let sentence: String
        var equalWith = 0
        var testDescription: String { self.name }
    }

    private static func member(_ name: String, _ describe: (inout MemberReport) -> Void) -> Verdict.Member {
        var report = MemberReport(node: .n(UInt64(name.utf8.reduce(0) { $0 + Int($1) })))
        describe(&report)
        return Verdict.Member(name: name, report: report)
    }

    private static func equal(_ name: String) -> Verdict.Member {
        Self.member(name) {
            $0.isConnected = true
            $0.lagBatches = 0
            $0.comparison = MemberReport.Comparison(isEqual: true, milliseconds: 1)
        }
    }

    private static func away(_ name: String) -> Verdict.Member { Self.member(name) { _ in } }

    private static func differing(_ name: String, _ tables: [String]) -> Verdict.Member {
        Self.member(name) {
            $0.isConnected = true
            $0.comparison = MemberReport.Comparison(isEqual: false, milliseconds: 1, tables: tables)
        }
    }

    private static func late(_ name: String, _ lag: UInt64) -> Verdict.Member {
        Self.member(name) {
            $0.isConnected = true
            $0.isLate = true
            $0.lagBatches = lag
            $0.comparison = MemberReport.Comparison(isEqual: true, milliseconds: 1)
        }
    }

    private static let refused = MemberReport.Try(address: "10.0.0.2:7443", answer: DialFailure.refused.words)

    static let cases: [Case] = [
        Case(name: "one PC", facts: .init(members: []), state: .equal, sentence: "this is the clinic's only PC"),
        Case(
            name: "all equal",
            facts: .init(members: [equal("Desk"), equal("Lab")]),
            state: .equal,
            sentence: "equal with 2 of 2 PCs",
            equalWith: 2
        ),
        Case(
            name: "one is off",
            facts: .init(members: [equal("Desk"), away("Lab")]),
            state: .equal,
            sentence: "equal with 1 of 2 PCs, not connected: Lab",
            equalWith: 1
        ),
        Case(
            name: "alone",
            facts: .init(members: [away("Desk")], lastTry: refused),
            state: .alone,
            sentence: "alone, last tried 10.0.0.2:7443: connection refused"
        ),
        Case(
            name: "alone although host, and nothing was tried",
            facts: .init(members: [away("Desk")], hasHost: true),
            state: .alone,
            sentence: "alone, no address of another PC answers"
        ),
        Case(
            name: "a full disk counts more than who is connected",
            facts: .init(members: [away("Desk")], obstacle: "the disk is full", lastTry: refused),
            state: .unwell,
            sentence: "this PC cannot be compared: the disk is full"
        ),
        Case(
            name: "nothing is proven while the file is locked",
            facts: .init(members: [equal("Desk")], obstacle: "a program keeps clinic.db locked"),
            state: .unwell,
            sentence: "this PC cannot be compared: a program keeps clinic.db locked"
        ),
        Case(
            name: "a difference counts more than a lag",
            facts: .init(members: [differing("Desk", ["patients", "bills"]), late("Lab", 3)]),
            state: .differs,
            sentence: "differs in patients, bills from Desk",
            equalWith: 1
        ),
        Case(
            name: "a difference of unknown tables, from many",
            facts: .init(members: ["A", "B", "C", "D", "E"].map { differing($0, []) }),
            state: .differs,
            sentence: "differs from A, B, C and 2 more"
        ),
        Case(
            name: "this PC lacks changes",
            facts: .init(members: [equal("Desk")], missingBatches: 1),
            state: .behind,
            sentence: "behind: this PC lacks 1 change",
            equalWith: 1
        ),
        Case(
            name: "this PC gets the state",
            facts: .init(members: [equal("Desk")], missingBatches: 1, isGettingState: true),
            state: .behind,
            sentence: "behind: this PC is getting the clinic's rows",
            equalWith: 1
        ),
        Case(
            name: "connected without a host",
            facts: .init(members: [equal("Desk")], hasHost: false),
            state: .behind,
            sentence: "behind: connected, and there is no host to compare with"
        ),
        Case(
            name: "the host lacks changes",
            facts: .init(members: [equal("Desk")], lateBatches: 2),
            state: .behind,
            sentence: "behind: the host lacks 2 changes of this PC",
            equalWith: 1
        ),
        Case(
            name: "others lack changes",
            facts: .init(members: [late("Desk", 3), late("Lab", 7), equal("Room")]),
            state: .behind,
            sentence: "behind: Lab (and 1 more PC) lacks 7 changes",
            equalWith: 3
        ),
        Case(
            name: "connected and not compared",
            facts: .init(members: [member("Desk") { $0.isConnected = true }, equal("Lab")]),
            state: .behind,
            sentence: "behind: not compared with Desk yet",
            equalWith: 1
        ),
    ]

    @Test("facts give one verdict", arguments: cases)
    func verdict(_ each: Case) {
        let verdict = Verdict(each.facts)
        #expect(verdict.state == each.state)
        #expect(verdict.sentence == each.sentence)
        #expect(verdict.equalWith == each.equalWith)
        #expect(verdict.members == each.facts.members.count)
    }

    @Test("every state is in the table of cases")
    func everyState() {
        #expect(Set(Self.cases.map(\.state)) == Set(Verdict.State.allCases))
    }

    // MARK: - What a host knows

    /// The answer of host 1 to a comparison of client 2, at equal vectors.
    private func compare(_ host: inout Bench, isEqual: Bool) {
        let question = DigestReport(round: 1, vector: .v(), sum: Digest(high: 0, low: isEqual ? 7 : 8), tables: [])
        host.give(.received(.c(2), .digests(question)))
        let purpose = DigestPurpose.answer(to: .c(2), question: question)
        host.give(.storageReplied(.digests(purpose, vector: .v(), tables: [], sum: Digest(high: 0, low: 7))))
    }

    private func host() -> Bench {
        var host = Bench(.host)
        host.start()
        host.connect(2, to: .client(2))
        host.give(.membersChanged(KnownMembers(present: [.n(1), .n(2), .n(3)])))
        return host
    }

    @Test("a host knows of each member whether it is there and equal, and what came of dialling it")
    func hostKnows() throws {
        var host = self.host()
        #expect(host.node.status(at: host.now).members.map(\.node) == [.n(2), .n(3)])
        #expect(host.node.status(at: host.now).members.map(\.isConnected) == [true, false])
        #expect(host.node.status(at: host.now).members.map(\.comparison) == [nil, nil])
        self.compare(&host, isEqual: true)
        #expect(host.node.status(at: host.now).members[0].comparison?.isEqual == true)
        // The client repairs the first difference.
        self.compare(&host, isEqual: false)
        #expect(host.node.status(at: host.now).members[0].comparison == nil)
        let page = RowHashPage(round: 1, table: "patients", after: nil, through: nil, rows: [])
        host.give(.received(.c(2), .rowHashes(page)))
        self.compare(&host, isEqual: false)
        let difference = try #require(host.node.status(at: host.now).members[0].comparison)
        #expect(!difference.isEqual && difference.tables == ["patients"])
        self.compare(&host, isEqual: true)
        host.advance(.seconds(100))
        #expect(host.node.status(at: host.now).members[0].comparison?.isEqual == true)
        host.advance(.seconds(1))
        #expect(host.node.status(at: host.now).members[0].comparison == nil)
        host.give(.peersFound([PeerHint(address: "pc3:1", node: .n(3), source: .remembered)]))
        host.give(.dialFailed(address: "pc3:1", .timedOut))
        #expect(
            host.node.status(at: host.now).members[1].lastTry
                == MemberReport.Try(address: "pc3:1", answer: "no answer")
        )
    }

    @Test("a client asks its host what it knows, and a host of an earlier version is not asked")
    func clientAsks() {
        let request = RequestID(rawValue: 5)
        var host = self.host()
        let question = SyncRequest(id: 9, table: nil, isAboutMembers: true)
        let answers = host.give(.received(.c(2), .syncRequest(question)))
        guard case .send([.c(2)], .syncReport(let report))? = answers.first else {
            Issue.record("the host does not answer: \(answers)")
            return
        }
        #expect(report.id == 9 && report.nodes.isEmpty && report.members.map(\.node) == [.n(2), .n(3)])

        var client = Bench(.client(3))
        client.start()
        let nobody = SyncReport(id: 0, result: .unreachable, repairedRows: 0, nodes: [])
        let command = Input.commandReceived(request, .members)
        #expect(client.give(command) == [.reply(request, .synced(nobody))])
        client.connect(1, to: .host, dialled: "host:1")
        #expect(
            client.give(command) == [
                .send([.c(1)], .syncRequest(SyncRequest(id: 1, table: nil, isAboutMembers: true))),
                .setTimer(.syncTimeout(1), after: .seconds(2)),
            ]
        )
        var answer = report
        answer.id = 1
        #expect(
            client.give(.received(.c(1), .syncReport(answer))) == [
                .cancelTimer(.syncTimeout(1)), .reply(request, .synced(answer)),
            ]
        )

        var other = Bench(.client(4))
        other.start()
        var hello = Hello.of(.host)
        hello.reportsMembers = false
        other.give(.connectionOpened(.c(1), dialled: "host:1", peer: .n(1)))
        other.give(.received(.c(1), .hello(hello)))
        #expect(other.give(command) == [.reply(request, .synced(nobody))])
    }

    // MARK: - The sync

    @Test(
        "a sync is whole only when nobody is missing",
        arguments: [
            (ReconciliationResult.equal, 2, 0, "equal", true, true), (.repaired, 2, 0, "repaired", true, true),
            (.equal, 1, 0, "equal", true, true), (.equal, 2, 1, "unreachable", false, true),
            (.equal, 1, 1, "alone", false, false), (.differs, 2, 1, "differs", false, false),
            (.unreachable, 0, 2, "alone", false, false), (.unreachable, 2, 0, "unreachable", false, false),
        ]
    )
    func sync(
        _ result: ReconciliationResult,
        compared: Int,
        missing: Int,
        verdict: String,
        isWhole: Bool,
        isReachableEqual: Bool
    ) {
        let nodes = (0..<compared).map { SyncReport.Node(id: .n(UInt64($0) + 1), name: "PC", result: result) }
        let summary = SyncSummary(
            SyncReport(id: 1, result: result, repairedRows: 0, nodes: nodes),
            missing: Array(
                repeating: .init(id: "m", name: "Lab", result: "unreachable", reason: "not connected"),
                count: missing
            ),
            took: .zero
        )
        #expect(summary.verdict == verdict)
        #expect(summary.isWhole == isWhole)
        #expect(summary.isReachableEqual == isReachableEqual)
        #expect(summary.nodes.count == compared + missing)
    }
}
