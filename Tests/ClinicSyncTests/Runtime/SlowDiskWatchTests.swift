import ClinicSyncCore
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSync

@Suite("A watch for slow disks")
struct SlowDiskWatchTests {
    private let time = NIOLockedValueBox(ContinuousClock.now)
    private let told = NIOLockedValueBox<[Bool]>([])
    private let watch: SlowDiskWatch

    /// Makes a watch whose time the test decides.
    init() {
        let (time, told) = (self.time, self.told)
        self.watch = SlowDiskWatch { time.withLockedValue { $0 } }
        self.watch.begin { input in
            guard case .syncsTakeLong(let reason) = input else { return }
            told.withLockedValue { $0.append(reason != nil) }
        }
    }

    private func pass(_ duration: Duration) { self.time.withLockedValue { $0 += duration } }

    private func sync(_ duration: Duration, times: Int = 1) {
        for _ in 0..<times {
            self.watch.syncBegan()
            self.pass(duration)
            self.watch.syncEnded()
        }
    }

    private var isTold: [Bool] { self.told.withLockedValue { $0 } }

    @Test("syncs of two seconds in a row are named at the third, and the end at the third shorter one")
    func slow() {
        self.sync(.seconds(2), times: 2)
        #expect(self.isTold.isEmpty)
        self.sync(.seconds(2), times: 5)
        #expect(self.isTold == [true])
        self.sync(.milliseconds(5), times: 2)
        self.sync(.seconds(2))
        self.sync(.milliseconds(5), times: 2)
        #expect(self.isTold == [true])
        self.sync(.milliseconds(5), times: 9)
        #expect(self.isTold == [true, false])
        self.sync(.seconds(2), times: 3)
        #expect(self.isTold == [true, false, true])
    }

    @Test("a sync now and then that takes long, and many that take a second, are not named")
    func usual() {
        for _ in 0..<20 {
            self.sync(.seconds(5))
            self.sync(.milliseconds(1_900))
        }
        #expect(self.isTold.isEmpty)
    }

    @Test("the room of a disk is read; a path that is not there says nothing")
    func room() {
        #expect(SlowDiskWatch.freeBytes(at: "/proc") == 0)
        #expect(SlowDiskWatch.freeBytes(at: "/dev") > 0)
        #expect(SlowDiskWatch.freeBytes(at: "/nowhere") == .max)
    }

    @Test("a sync that hangs is named while it hangs, once")
    func hangs() {
        self.watch.syncBegan()
        self.pass(.seconds(5))
        self.watch.look()
        #expect(self.isTold.isEmpty)
        self.pass(.seconds(1))
        self.watch.look()
        self.watch.look()
        #expect(self.isTold == [true])
        self.pass(.seconds(60))
        self.watch.syncEnded()
        #expect(self.isTold == [true])
        self.watch.look()
        self.sync(.milliseconds(5), times: 3)
        #expect(self.isTold == [true, false])
    }
}
