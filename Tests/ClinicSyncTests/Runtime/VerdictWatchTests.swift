import ClinicSyncCore
import Testing

@testable import ClinicSync

@Suite("News about the verdict") struct VerdictWatchTests {
    private func verdict(_ state: String, _ equalWith: Int = 2) -> VerdictSummary {
        VerdictSummary(
            state: state,
            sentence: "",
            since: UTCTimestamp(milliseconds: 0),
            equalWith: equalWith,
            members: 2,
            missing: []
        )
    }

    @Test("a verdict is news when two samples in a row have it and the one told before was another")
    func twoSamples() {
        var watch = VerdictWatch()
        let samples = [
            ("equal", 2, false), ("equal", 2, false), ("alone", 0, false), ("equal", 2, false), ("alone", 0, false),
            ("alone", 0, true), ("alone", 0, false), ("equal", 1, false), ("equal", 1, true), ("equal", 2, false),
            ("equal", 2, true), ("behind", 2, false), ("equal", 2, false), ("equal", 2, false),
        ]
        for (index, (state, count, isNews)) in samples.enumerated() {
            #expect(watch.isNews(self.verdict(state, count)) == isNews, "sample \(index)")
        }
    }

    @Test("since when it has been so does not move while the state stays")
    func since() {
        let log = VerdictLog()
        #expect(log.note(.alone, began: 5) == 5)
        #expect(log.note(.alone, began: 9) == 5)
        #expect(log.note(.equal, began: 12) == 12)
        #expect(log.note(.alone, began: 11) == 11)
    }
}
