import Testing

@testable import ClinicSync

@Suite struct LatencyLogTests {
    @Test("an hour of samples is kept, the oldest first, and no more")
    func bounded() {
        let log = LatencyLog()
        for second in 0..<400 {
            log.add(
                LatencyHistory.Sample(
                    at: UTCTimestamp(milliseconds: Int64(second) * 10_000),
                    milliseconds: second.isMultiple(of: 2) ? Double(second) : nil
                )
            )
        }
        let summary = log.history
        #expect(summary.intervalSeconds * summary.samples.count == 3_600)
        #expect(summary.samples.first?.milliseconds == 40)
        #expect(
            summary.samples.last == LatencyHistory.Sample(at: UTCTimestamp(milliseconds: 3_990_000), milliseconds: nil)
        )
    }
}
