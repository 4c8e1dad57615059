import ClinicSyncModel
import Testing

@testable import ClinicSync
@testable import ClinicSyncClinic

@Suite("Who has typed too many wrong passwords") struct LoginLockOutTests {
    private static let ana: [LoginSubject] = [.user("ana"), .device("desk")]

    @Test("five within 15 minutes lock for a minute, each further one for twice as long, up to 15 minutes")
    func transcript() {
        var lockOut = LockOut<LoginSubject>(.passwords)
        var lines: [String] = []
        func fail(_ seconds: Int) {
            let now = Duration.seconds(seconds)
            lockOut.failed(LoginLockOutTests.ana, at: now)
            let remaining = lockOut.remaining(LoginLockOutTests.ana, at: now)
            lines.append("\(seconds): \(remaining.map { "\($0.components.seconds)" } ?? "-")")
        }
        for second in [0, 10, 20, 30] { fail(second) }
        // Each attempt except the last comes at the end of the previous lock.
        for second in [40, 100, 220, 460, 940, 1_840, 2_740] { fail(second) }
        #expect(
            lines == [
                "0: -", "10: -", "20: -", "30: -", "40: 60", "100: 120", "220: 240", "460: 480", "940: 900",
                "1840: 900",
                "2740: 900",
            ]
        )
        #expect(lockOut.remaining(LoginLockOutTests.ana, at: .seconds(3_639)) == .seconds(1))
        #expect(lockOut.remaining(LoginLockOutTests.ana, at: .seconds(3_640)) == nil)
        // After a quarter of an hour without a wrong password the count begins at zero.
        fail(3_640 + 900)
        #expect(lines.last == "4540: -")
    }

    @Test("wrong ones spread over more than 15 minutes lock nobody")
    func spread() {
        var lockOut = LockOut<LoginSubject>(.passwords)
        for number in 0..<100 {
            lockOut.failed(LoginLockOutTests.ana, at: .seconds(number * 226))
            #expect(lockOut.remaining(LoginLockOutTests.ana, at: .seconds(number * 226)) == nil)
        }
        lockOut.failed(LoginLockOutTests.ana, at: .seconds(99 * 226 + 1))
        #expect(lockOut.remaining(LoginLockOutTests.ana, at: .seconds(99 * 226 + 1)) == .seconds(60))
    }

    @Test("one user on many PCs is locked, and many users on one PC")
    func subjects() {
        var byUser = LockOut<LoginSubject>(.passwords)
        for number in 0..<5 { byUser.failed([.user("ana"), .device("pc\(number)")], at: .zero) }
        #expect(byUser.remaining([.user("ana"), .device("another")], at: .zero) == .seconds(60))
        #expect(byUser.remaining([.user("ben"), .device("pc0")], at: .zero) == nil)
        var byDevice = LockOut<LoginSubject>(.passwords)
        for number in 0..<5 { byDevice.failed([.user("user\(number)"), .device("desk")], at: .zero) }
        #expect(byDevice.remaining([.user("another"), .device("desk")], at: .zero) == .seconds(60))
        // A user and a PC of the same name are counted separately.
        #expect(byDevice.remaining([.user("desk"), .device("lab")], at: .zero) == nil)
    }

    @Test("a login clears the user, not the PC")
    func success() {
        var lockOut = LockOut<LoginSubject>(.passwords)
        for _ in 0..<4 { lockOut.failed(LoginLockOutTests.ana, at: .zero) }
        lockOut.succeeded(.user("ana"))
        lockOut.failed(LoginLockOutTests.ana, at: .zero)
        #expect(lockOut.remaining([.user("ana")], at: .zero) == nil)
        #expect(lockOut.remaining([.device("desk")], at: .zero) == .seconds(60))
    }

    @Test("two that were looked at at the same time lock once")
    func simultaneous() {
        var lockOut = LockOut<LoginSubject>(.passwords)
        for _ in 0..<6 { lockOut.failed(LoginLockOutTests.ana, at: .seconds(1)) }
        #expect(lockOut.remaining(LoginLockOutTests.ana, at: .seconds(1)) == .seconds(60))
    }

    @Test("a flood of names costs bounded memory and opens no lock")
    func flood() {
        var lockOut = LockOut<LoginSubject>(.passwords)
        for _ in 0..<5 { lockOut.failed([.user("ana")], at: .zero) }
        for number in 0..<(LockOutPolicy.passwords.recordsMax + 500) {
            lockOut.failed([.user("made up \(number)")], at: .seconds(1))
        }
        #expect(lockOut.remaining([.user("ana")], at: .seconds(1)) == .seconds(59))

        #expect(lockOut.count == LockOutPolicy.passwords.recordsMax)
    }

    @Test("without probation counting begins again after a lock, and nothing counts during it")
    func withoutProbation() {
        let policy = LockOutPolicy.joinCodes
        var lockOut = LockOut<String>(policy)
        for _ in 0..<policy.failuresMax { lockOut.failed(["a"], at: .zero) }
        lockOut.failed(["a"], at: .seconds(800))
        #expect(lockOut.remaining(["a"], at: .seconds(800)) == .seconds(100))
        for _ in 1..<policy.failuresMax { lockOut.failed(["a"], at: .seconds(900)) }
        #expect(lockOut.remaining(["a"], at: .seconds(900)) == nil)
        lockOut.failed(["a"], at: .seconds(901))
        #expect(lockOut.remaining(["a"], at: .seconds(901)) == .seconds(900))
    }
}
