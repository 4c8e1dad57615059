package import ClinicSyncModel
import OrderedCollections

/// Logins of this PC's programs, from the command to the answer.
///
/// The host decides on a login. The node asks its host; when that host is gone, it asks the next one the same. Without
/// a host this node's own store decides after ``CoreLimits/loginLimit``, and the session is provisional. A login that
/// waits twice that time is answered as `unavailable`.
package struct LoginStateMachine: Sendable, Hashable {
    /// Where a login stands.
    private enum Stage: Sendable, Hashable {
        /// No host is known. Entered with the command, and when the host is gone. Can transition to `asked`,
        /// `deciding`.
        case waiting
        /// The host was asked over this connection. Can transition to `waiting`, `arriving`.
        case asked(ConnectionID)
        /// The host granted the login; the batch with the session's rows is on its way. Can transition to `waiting`.
        case arriving(ConnectionID, BatchID, LoginOutcome)
        /// This node's own store decides. Entered on the host, and without a host after the first time-out. Can
        /// transition to `waiting` when this node is host no more.
        case deciding
    }

    /// A login that waits for its answer.
    private struct Login: Sendable, Hashable {
        let command: RequestID
        let request: LoginRequest
        var stage: Stage = .waiting
        /// How many of its timers have fired.
        var timeouts = 0

        /// The connection over which the host was asked.
        var host: ConnectionID? {
            switch self.stage {
            case .asked(let id), .arriving(let id, _, _): id
            case .waiting, .deciding: nil
            }
        }
    }

    /// What is to be done, in this order.
    package enum Action: Sendable, Hashable {
        /// Pass on the effect.
        case effect(Effect)
        /// This node is host: decide on the login.
        case decide(LoginRequest, for: RequestID)
        /// No host was found in time: this node's store decides, without having heard of any other node.
        case decideAlone(LoginRequest, for: RequestID)
    }

    private var logins: OrderedDictionary<UInt64, Login> = [:]
    private var lastNumber: UInt64 = 0

    /// Makes a machine without logins.
    package init() {}

    /// Whether no login waits.
    package var isEmpty: Bool { self.logins.isEmpty }

    /// A program asks for a login; at most ``CoreLimits/loginsMax`` wait.
    package mutating func requested(
        _ request: LoginRequest,
        by command: RequestID,
        _ context: NodeContext
    ) -> [Action] {
        guard self.logins.count < CoreLimits.loginsMax else {
            return [LoginStateMachine.answer(command, .unavailable)]
        }
        self.lastNumber += 1
        self.logins[self.lastNumber] = Login(command: command, request: request)
        return [self.timer(self.lastNumber)] + self.place(self.lastNumber, context)
    }

    private func timer(_ number: UInt64) -> Action {
        .effect(.setTimer(.login(number), after: CoreLimits.loginLimit))
    }

    /// Gives a waiting login to the node that is host now.
    private mutating func place(_ number: UInt64, _ context: NodeContext) -> [Action] {
        guard let login = self.logins[number], login.stage == .waiting else { return [] }
        if context.isHost {
            self.logins[number]?.stage = .deciding
            return [.decide(login.request, for: login.command)]
        }
        guard let host = context.host else { return [] }
        self.logins[number]?.stage = .asked(host)
        return [.effect(.send([host], .loginRequest(id: number, login.request)))]
    }

    /// Asks the present host what another host was asked, which may not answer any more.
    ///
    /// If the other host has decided already, its rows say the same as the rows that the present host writes.
    package mutating func hostMayHaveChanged(_ context: NodeContext) -> [Action] {
        var actions: [Action] = []
        for number in Array(self.logins.keys) {
            if let asked = self.logins[number]?.host, asked != context.host {
                self.logins[number]?.stage = .waiting
            }
            actions += self.place(number, context)
        }
        return actions
    }

    /// This node is host no more: the next host must decide what this node would have decided.
    package mutating func abdicated() {
        for number in Array(self.logins.keys) where self.logins[number]?.stage == .deciding {
            self.logins[number]?.stage = .waiting
        }
    }

    /// The timer of a login fired.
    package mutating func timedOut(_ number: UInt64, _ context: NodeContext) -> [Action] {
        guard let login = self.logins[number] else { return [] }
        guard login.timeouts == 0 else {
            self.logins[number] = nil
            return [LoginStateMachine.answer(login.command, .unavailable)]
        }
        self.logins[number]?.timeouts += 1
        switch login.stage {
        case .waiting:
            self.logins[number]?.stage = .deciding
            return [self.timer(number), .decideAlone(login.request, for: login.command)]
        case .asked, .arriving:
            // The host may have been no host for a moment, and then it ignored the request. It may get the request
            // twice.
            self.logins[number]?.stage = .waiting
            return [self.timer(number)] + self.place(number, context)
        case .deciding:
            return [self.timer(number)]
        }
    }

    /// The host answered.
    ///
    /// - Parameters:
    ///   - reply: The answer.
    ///   - id: The connection.
    ///   - vector: What this node has applied.
    /// - Returns: What is to be done.
    package mutating func answered(_ reply: LoginReply, on id: ConnectionID, vector: VersionVector) -> [Action] {
        // Race: the answer comes after the time-out, or a second time.
        guard case .asked(id)? = self.logins[reply.id]?.stage else { return [] }
        guard let batch = reply.batch else { return self.finish(reply.id, reply.outcome) }
        self.logins[reply.id]?.stage = .arriving(id, batch, reply.outcome)
        return self.applied(vector)
    }

    /// This node has applied batches: answers the logins whose rows are among them, so that programs find the rows in
    /// their own file.
    package mutating func applied(_ vector: VersionVector) -> [Action] {
        var actions: [Action] = []
        for (number, login) in self.logins {
            guard case .arriving(_, let batch, let outcome) = login.stage, vector[batch.origin] >= batch.sequence
            else { continue }
            actions += self.finish(number, outcome)
        }
        return actions
    }

    /// This node decided on a login.
    package mutating func decided(_ command: RequestID, _ outcome: LoginOutcome) -> [Action] {
        guard let number = self.logins.first(where: { $0.value.command == command })?.key else { return [] }
        return self.finish(number, outcome)
    }

    /// The node stops: answers every login.
    package mutating func stop() -> [Action] {
        Array(self.logins.keys).flatMap { self.finish($0, .unavailable) }
    }

    private mutating func finish(_ number: UInt64, _ outcome: LoginOutcome) -> [Action] {
        guard let login = self.logins.removeValue(forKey: number) else { return [] }
        return [.effect(.cancelTimer(.login(number))), LoginStateMachine.answer(login.command, outcome)]
    }

    /// The answer to a program.
    private static func answer(_ command: RequestID, _ outcome: LoginOutcome) -> Action {
        .effect(.reply(command, .loginDecided(outcome)))
    }
}
