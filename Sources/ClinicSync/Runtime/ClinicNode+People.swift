import ClinicSyncCore
import ClinicSyncStorage

/// What of a running node has to do with people: their passwords, notices to them, and measurements for them.
struct PeopleAgents: Sendable {
    /// Judges passwords.
    var passwords: PasswordService
    /// Measures, and answers measurements.
    var probe: ProbeAgent
    /// Removes old notices.
    var notices: NoticeKeeper

    /// Something in these tables, which nodes fill, has changed.
    func tablesChanged(_ tables: Set<String>) { self.probe.tablesChanged(tables) }

    /// Runs until cancelled.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await self.probe.run() }
            tasks.addTask { try await self.notices.run() }
            try await tasks.waitForAll()
        }
    }

    /// Stops the threads.
    func close() async throws { try await self.passwords.close() }
}

extension ClinicNode {
    /// Makes what has to do with people; it must be closed.
    func makePeople(_ storage: StorageService, trusting trust: TrustStore) -> PeopleAgents {
        let wrote: @Sendable () -> Void = { [controlBox] in controlBox.noticeCommit() }
        let corrected: @Sendable () -> Int64 = { [clock, controlBox] in
            clock.wallMilliseconds + (controlBox.coreStatus?.clockOffsetMilliseconds ?? 0)
        }
        return PeopleAgents(
            passwords: self.makePasswords(storage),
            probe: ProbeAgent(
                ProbeAgent.Surroundings(
                    logger: self.logger,
                    own: self.identity.nodeID,
                    storage: storage,
                    wrote: wrote,
                    core: { [controlBox] in controlBox.coreStatus },
                    isRevoked: { trust.isRevoked($0) },
                    corrected: corrected,
                    monotonic: { [clock] in clock.now.monotonic }
                )
            ),
            notices: NoticeKeeper(
                logger: self.logger,
                storage: storage,
                isHost: { [controlBox] in controlBox.coreStatus?.role == .host },
                corrected: corrected,
                wrote: wrote
            )
        )
    }

    private func makePasswords(_ storage: StorageService) -> PasswordService {
        PasswordService(
            PasswordService.Surroundings(
                account: { username in try await storage.read { try $0.loginAccount(username: username) } },
                replace: { [controlBox] id, old, new in
                    let isReplaced = try await storage.write {
                        try $0.replacePasswordHash(ofUser: id, old, by: new)
                    }
                    if isReplaced { controlBox.noticeCommit() }
                },
                monotonic: { [clock] in clock.now.monotonic }
            )
        )
    }
}
