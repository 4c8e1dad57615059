import ClinicSyncModel
import Testing

@testable import ClinicSync

@Suite("What comes of a probe") struct ProbeOutcomeTests {
    private static func node(_ number: UInt64) -> NodeID { NodeID(high: 7, low: number) }

    @Test(
        "the one-way time is never negative and never more than the round trip, whatever the clocks say",
        arguments: [
            (1_000, 1_003, 3.0), (1_000, 1_000, 0), (1_000, 990, 0), (1_000, 5_000, 8), (0, Int64.max, 8),
            (Int64.min, Int64.max, 8), (Int64.max, Int64.min, 8),
        ] as [(Int64, Int64, Double)]
    )
    func clamped(startedAt: Int64, at: Int64, expected: Double) {
        let answer = ProbeOutcome.Answer(startedAt: startedAt, at: at, roundTrip: .milliseconds(8))
        #expect(answer.oneWay / .milliseconds(1) == expected)
    }

    @Test("it is complete when it is known who is connected and all of these have answered")
    func complete() {
        let answer = ProbeOutcome.Answer(startedAt: 0, at: 2, roundTrip: .milliseconds(8))
        let answers = [Self.node(1): answer]
        #expect(ProbeOutcome(answers: [:], missing: [], knowsAll: true).isComplete)
        #expect(ProbeOutcome(answers: answers, missing: [], knowsAll: true).isComplete)
        #expect(!ProbeOutcome(answers: answers, missing: [], knowsAll: false).isComplete)
        #expect(!ProbeOutcome(answers: answers, missing: [Self.node(2)], knowsAll: true).isComplete)
    }

    @Test("people see the fastest first, and names where there are some")
    func summary() {
        let outcome = ProbeOutcome(
            answers: [
                Self.node(1): ProbeOutcome.Answer(startedAt: 0, at: 5, roundTrip: .milliseconds(8)),
                Self.node(2): ProbeOutcome.Answer(startedAt: 0, at: 2, roundTrip: .milliseconds(9)),
            ],
            missing: [Self.node(3)],
            knowsAll: true
        )
        let summary = outcome.summary(names: [Self.node(1): "Front", Self.node(3): "Lab"])
        #expect(summary.nodes.map(\.name) == ["", "Front"])
        #expect(summary.nodes.map(\.milliseconds) == [2, 5])
        #expect(summary.nodes.map(\.roundTripMilliseconds) == [9, 8])
        #expect(summary.missing.map(\.name) == ["Lab"])
        #expect(!summary.complete)
    }

    @Test("an answer is read as it was written, and nonsense is not")
    func rows() {
        let answer = ProbeAnswer(
            prober: Self.node(1),
            answerer: Self.node(2),
            number: 5,
            at: 6,
            connected: [Self.node(1), Self.node(3)]
        )
        #expect(ProbeAnswer(answer.values) == answer)
        for (column, value) in [
            ("id", .string("x")), ("prober", .null), ("answerer", .string("x")), ("number", .string("5")),
            ("at", .null),
        ] as [(String, SQLiteValue)] {
            var values = answer.values
            values[column] = value
            #expect(ProbeAnswer(values) == nil, "\(column)")
        }
        var values = answer.values
        values["connected"] = .string(String(repeating: "\(Self.node(1)) ", count: 5_000))
        #expect(ProbeAnswer(values)?.connected == [])
        values["connected"] = .string("x \(Self.node(3))")
        #expect(ProbeAnswer(values)?.connected == [Self.node(3)])
    }

    @Test("ten measurements a second of one node are answered, and other nodes' as well")
    func pace() {
        var pace = ProbePace()
        let admitted = (0..<30).map { pace.admits(Self.node(1), at: .milliseconds($0 * 50)) }
        #expect(admitted.prefix(10).allSatisfy { $0 })
        #expect(admitted[10..<20].allSatisfy { !$0 })
        #expect(admitted[20..<30].allSatisfy { $0 })
        let other = pace.admits(Self.node(2), at: .milliseconds(600))
        #expect(other)
        for number in 0..<UInt64(ProbePace.nodesMax * 2) {
            let isAdmitted = pace.admits(Self.node(100 + number), at: .milliseconds(1_400))
            #expect(isAdmitted)
        }
        #expect(pace.count == ProbePace.nodesMax)
    }
}
