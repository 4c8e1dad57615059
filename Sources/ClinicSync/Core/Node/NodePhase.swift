import ClinicSyncModel

/// The node's life.
enum NodePhase: Sendable, Hashable {
    /// The machine was made. Can transition to `starting`, `stopping`.
    case created
    /// The store collects what programs wrote while the node did not run. The node answers no peer yet, because its
    /// hello must carry the right vector. Entered with `started`. Can transition to `running`, `stopping`.
    case starting
    /// The node does everything. Entered when the first collection is complete. Can transition to `stopping`.
    case running
    /// Connections are closed; the node waits for the store's last replies. Can transition to `stopped`.
    case stopping
    /// The node does nothing more. Final.
    case stopped
}

extension NodePhase {
    /// What a node that stops does with an input: it answers people who wait, and lets nobody connect.
    ///
    /// It also tells programs of what the store still commits, which ``DataStateMachine/repliedLast(_:)`` says.
    static func effectsWhileStopping(_ input: Input) -> [Effect] {
        switch input {
        case .connectionOpened(let id, _, _): [.close(id, .shuttingDown)]
        case .commandReceived(let request, .sync), .commandReceived(let request, .members):
            [SyncWishStateMachine.unreachable(request)]
        case .commandReceived(let request, .transferHost): [.reply(request, .hostTransferred(.noHost))]
        case .commandReceived(let request, .login): [.reply(request, .loginDecided(.unavailable))]
        case .started, .peersFound, .membersChanged, .addressesChanged, .dialAnswered, .dialFailed, .messageReceived,
            .malformedMessageReceived, .connectionClosed, .timerFired, .localCommitNoticed, .storageReplied,
            .storeLocked, .storeUnlocked, .syncsTakeLong, .roomIsShort, .eventOccurred, .answerProbe,
            .shutdownRequested:
            []
        }
    }
}
