import ClinicSyncModel
import Testing

@testable import ClinicSync

@Suite struct RequestRateTests {
    @Test("a burst passes, then so many a second, and the wait is told")
    func bucket() {
        var bucket = TokenBucket(rate: 10, burst: 3)
        for _ in 0..<3 { #expect(bucket.take(now: .seconds(5)) == nil) }
        #expect(bucket.take(now: .seconds(5)) == .milliseconds(100))
        #expect(bucket.take(now: .milliseconds(5_050)) == .milliseconds(50))
        #expect(bucket.take(now: .milliseconds(5_100)) == nil)
        #expect(bucket.take(now: .milliseconds(5_100)) != nil)
        // A long pause fills the bucket and not more. A clock that goes back removes nothing.
        for _ in 0..<3 { #expect(bucket.take(now: .seconds(500)) == nil) }
        #expect(bucket.take(now: .seconds(500)) != nil)
        #expect(bucket.take(now: .seconds(400)) != nil)
    }
}
