import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// The parts of a running node that serve people: their passwords, notices to them, and measurements for them.
struct PeopleAgents: Sendable {
    /// Checks passwords.
    var passwords: PasswordService
    /// Measures, and answers measurements.
    var probe: ProbeAgent
    /// Removes old notices.
    var notices: NoticeKeeper

    /// Reports that tables which nodes fill have changed.
    func tablesChanged(_ changes: AgentChanges) { self.probe.tablesChanged(changes) }

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

extension PeopleAgents {
    /// Makes the parts and starts their threads.
    ///
    /// The caller must call ``close()``.
    init(_ settings: NodeSettings, state: NodeState, register: MemberRegister, storage: StorageService, inbox: Inbox) {
        let wrote: @Sendable () -> Void = { inbox.post(.localCommitNoticed) }
        self.init(
            passwords: PasswordService(
                PasswordService.Surroundings(
                    account: { username in try await storage.read { try $0.loginAccount(username: username) } },
                    replace: { id, old, new in
                        let isReplaced = try await storage.writeForPeople {
                            try $0.replacePasswordHash(ofUser: id, old, by: new)
                        }
                        if isReplaced { wrote() }
                    },
                    monotonic: { settings.clock.now.monotonic }
                )
            ),
            probe: ProbeAgent(
                ProbeAgent.Surroundings(
                    logger: settings.logger,
                    own: state.id,
                    storage: storage,
                    wrote: wrote,
                    host: { state.standing?.host?.id },
                    status: { await inbox.status() },
                    members: { register.known.present },
                    answer: { inbox.post(.answerProbe($0)) },
                    corrected: { state.correctedMilliseconds },
                    monotonic: { settings.clock.now.monotonic }
                )
            ),
            notices: NoticeKeeper(
                logger: settings.logger,
                storage: storage,
                isHost: { state.isHost },
                corrected: { state.correctedMilliseconds },
                wrote: wrote
            )
        )
    }
}
