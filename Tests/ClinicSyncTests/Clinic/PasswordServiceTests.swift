import ClinicSyncModel
import ClinicSyncStorage
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSyncClinic

@Suite("Checking users' passwords", .timeLimit(.minutes(2))) struct PasswordServiceTests {
    /// The users of a test, their replaced hashes, and a clock.
    private final class Desk: Sendable {
        static let cheap = ScryptParameters(logCost: 4, blockSize: 8, passes: 1)

        let accounts: NIOLockedValueBox<[String: LoginAccount]>
        let replaced = NIOLockedValueBox<[[String]]>([])
        let now = NIOLockedValueBox(Duration.zero)

        init(_ accounts: [String: LoginAccount]) { self.accounts = NIOLockedValueBox(accounts) }

        /// Runs the body with a service and closes the service afterwards.
        func withService(
            parameters: ScryptParameters = Desk.cheap,
            _ body: (PasswordService) async throws -> Void
        ) async throws {
            let service = PasswordService(
                PasswordService.Surroundings(
                    account: { name in self.accounts.withLockedValue { $0[name] } },
                    replace: { id, old, new in self.replaced.withLockedValue { $0.append([id.displayText, old, new]) }
                    },
                    monotonic: { self.now.withLockedValue { $0 } },
                    parameters: parameters
                )
            )
            do { try await body(service) } catch {
                try await service.close()
                throw error
            }
            try await service.close()
        }
    }

    private static func hash(_ password: String) throws -> String {
        try PasswordHash.make(password, parameters: Desk.cheap)
    }

    @Test("the right password of an active user is accepted, and nothing else is")
    func verdicts() async throws {
        let desk = Desk([
            "ana": LoginAccount(id: "1", passwordHash: try Self.hash("anaanaana"), isActive: true),
            "ben": LoginAccount(id: "2", passwordHash: try Self.hash("benbenben"), isActive: false),
            "cleo": LoginAccount(id: "3", passwordHash: "cleocleocleo", isActive: true),
            "dan": LoginAccount(id: "4", passwordHash: nil, isActive: true),
        ])
        try await desk.withService { (service: PasswordService) async throws -> Void in
            #expect(try await service.verify("anaanaana", for: "ana", from: "pc") == .accepted(userID: "1"))
            #expect(try await service.verify("anaanaanA", for: "ana", from: "pc") == .wrong)
            #expect(try await service.verify("", for: "ana", from: "pc2") == .wrong)
            #expect(try await service.verify("anaanaana", for: "Ana", from: "pc2") == .wrong)
            #expect(try await service.verify("benbenben", for: "ben", from: "pc2") == .inactive(userID: "2"))
            // Without the password the answer does not reveal that the user was deactivated.
            #expect(try await service.verify("ben", for: "ben", from: "pc2") == .wrong)
            #expect(try await service.verify("cleocleocleo", for: "cleo", from: "pc3") == .unsupportedHash)
            #expect(try await service.verify("", for: "dan", from: "pc3") == .unsupportedHash)
            let long = String(repeating: "x", count: 300)
            #expect(try await service.verify("anaanaana", for: long, from: "pc3") == .wrong)
        }
        #expect(desk.replaced.withLockedValue { $0.isEmpty })
    }

    @Test("a bcrypt hash and a weak one are replaced once their password was right")
    func upgrade() async throws {
        let bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
        let weak = try PasswordHash.make("anaanaana", parameters: ScryptParameters(logCost: 2, blockSize: 8, passes: 1))
        let desk = Desk([
            "ana": LoginAccount(id: "1", passwordHash: weak, isActive: true),
            "ben": LoginAccount(id: "2", passwordHash: bcrypt, isActive: true),
            "cleo": LoginAccount(id: "3", passwordHash: bcrypt, isActive: false),
        ])
        try await desk.withService { (service: PasswordService) async throws -> Void in
            #expect(try await service.verify("U*U*", for: "ben", from: "pc") == .wrong)
            #expect(desk.replaced.withLockedValue { $0.isEmpty })
            // The password is shorter than a new password may be, and is still valid.
            #expect(try await service.verify("U*U", for: "ben", from: "pc") == .accepted(userID: "2"))
            #expect(try await service.verify("anaanaana", for: "ana", from: "pc") == .accepted(userID: "1"))
            #expect(try await service.verify("U*U", for: "cleo", from: "pc") == .inactive(userID: "3"))
        }
        let replaced = desk.replaced.withLockedValue { $0 }
        #expect(replaced.map { Array($0.prefix(2)) } == [["2", bcrypt], ["1", weak]])
        for (entry, password) in zip(replaced, ["U*U", "anaanaana"]) {
            let check = try PasswordHash.check(password, against: entry[2], parameters: Desk.cheap)
            #expect(check == .matches(isWeak: false))
        }
    }

    @Test("five wrong ones lock the user out, the right password included, until the time has passed")
    func lockOut() async throws {
        let desk = Desk(["ana": LoginAccount(id: "1", passwordHash: try Self.hash("anaanaana"), isActive: true)])
        try await desk.withService { (service: PasswordService) async throws -> Void in
            for number in 0..<5 {
                #expect(try await service.verify("guess \(number)", for: "ana", from: "pc \(number)") == .wrong)
            }
            desk.now.withLockedValue { $0 = .seconds(20) }
            let locked = try await service.verify("anaanaana", for: "ana", from: "pc")
            #expect(locked == .lockedOut(retryAfter: .seconds(40)))
            desk.now.withLockedValue { $0 = .seconds(60) }
            #expect(try await service.verify("anaanaana", for: "ana", from: "pc") == .accepted(userID: "1"))
            // Unknown users are counted the same, so a lock does not reveal whether a user exists.
            for number in 0..<5 {
                #expect(try await service.verify("guess", for: "nobody", from: "another \(number)") == .wrong)
            }
            let unknown = try await service.verify("guess", for: "nobody", from: "pc")
            #expect(unknown == .lockedOut(retryAfter: .seconds(60)))
        }
    }

    @Test("guesses sent all at once are no more guesses, and what cannot wait is told so")
    func flood() async throws {
        let desk = Desk(["ana": LoginAccount(id: "1", passwordHash: try Self.hash("anaanaana"), isActive: true)])
        // The check is slow, so the others arrive during the first checks.
        try await desk.withService(parameters: ScryptParameters(logCost: 12, blockSize: 8, passes: 1)) {
            (service: PasswordService) async throws -> Void in
            let verdicts = try await withThrowingTaskGroup(of: PasswordVerdict.self) { tasks in
                for number in 0..<60 {
                    tasks.addTask { try await service.verify("guess", for: "nobody", from: "pc \(number)") }
                }
                return try await tasks.reduce(into: []) { $0.append($1) }
            }
            // Two checks run at once, so one attempt more than the limit may pass.
            #expect((5...6).contains(verdicts.count { $0 == .wrong }))
            #expect(verdicts.count { $0 == .busy(retryAfter: .seconds(1)) } > 0)
            #expect(verdicts.count { $0 == .lockedOut(retryAfter: .seconds(60)) } > 0)
        }
    }
}
