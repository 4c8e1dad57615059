import ClinicSyncModel
import OrderedCollections

/// A login that waits for its decision.
struct PendingLogin: Sendable, Hashable {
    /// Where it is.
    enum Stage: Sendable, Hashable {
        /// No host is known. Can transition to `asked`, `deciding`.
        case waiting
        /// The host was asked over this connection. Can transition to `waiting`, `arriving`.
        case asked(ConnectionID)
        /// The host granted it; its rows are on their way in this batch. Can transition to `waiting`.
        case arriving(ConnectionID, BatchID, LoginOutcome)
        /// This node's own store decides. Can transition to `waiting`.
        case deciding
    }

    let command: RequestID
    let request: LoginRequest
    var stage: Stage
    /// Time-outs that passed.
    var timeouts = 0

    /// The connection over which the host was asked.
    var host: ConnectionID? {
        switch self.stage {
        case .asked(let id), .arriving(let id, _, _): id
        case .waiting, .deciding: nil
        }
    }
}

// Logins as the PC of the login sees them: asked of the host, again of the next when that is gone.
extension NodeStateMachine {
    mutating func login(_ request: LoginRequest, for command: RequestID) {
        guard self.logins.count < CoreLimits.loginsMax else { return self.answer(command, .unavailable) }
        self.lastLogin += 1
        let number = self.lastLogin
        self.logins[number] = PendingLogin(command: command, request: request, stage: .waiting)
        self.emit(.setTimer(.login(number), after: CoreLimits.loginLimit))
        self.place(number)
    }

    /// Gives a waiting login to whoever is host now.
    private mutating func place(_ number: UInt64) {
        guard let login = self.logins[number], login.stage == .waiting else { return }
        if self.isHost {
            self.logins[number]?.stage = .deciding
            self.decide(login.request, for: .command(login.command))
        } else if let host = self.hostConnection {
            self.logins[number]?.stage = .asked(host)
            self.emit(.send([host], .loginRequest(NumberedLogin(id: number, request: login.request))))
        }
    }

    /// Asks the present host what another was asked, which may not answer any more.
    ///
    /// When the other had decided already, its rows say the same as those that the present one writes.
    mutating func placeLogins() {
        for number in Array(self.logins.keys) {
            if let asked = self.logins[number]?.host, asked != self.hostConnection {
                self.logins[number]?.stage = .waiting
            }
            self.place(number)
        }
    }

    /// This node is host no more: what it would have decided somebody else must.
    mutating func withdrawLogins() {
        for number in Array(self.logins.keys) where self.logins[number]?.stage == .deciding {
            self.logins[number]?.stage = .waiting
        }
    }

    mutating func loginTimedOut(_ number: UInt64) {
        guard let login = self.logins[number] else { return }
        guard login.timeouts == 0 else {
            self.logins[number] = nil
            return self.answer(login.command, .unavailable)
        }
        self.logins[number]?.timeouts += 1
        self.emit(.setTimer(.login(number), after: CoreLimits.loginLimit))
        switch login.stage {
        case .waiting:
            // Nobody to ask, and nobody heard: provisional.
            self.logins[number]?.stage = .deciding
            self.emitDecision(login.request, for: .command(login.command), hearing: 0, mayWait: false)
        case .asked, .arriving:
            // The host may have been none for a moment and dropped the request; it may get it twice.
            self.logins[number]?.stage = .waiting
            self.place(number)
        case .deciding: break
        }
    }

    mutating func receive(_ reply: LoginReply, on id: ConnectionID) {
        // Benign race: an answer that comes after our time-out, or twice.
        guard case .asked(id)? = self.logins[reply.id]?.stage else { return }
        guard let batch = reply.batch else { return self.finish(reply.id, reply.outcome) }
        self.logins[reply.id]?.stage = .arriving(id, batch, reply.outcome)
        self.finishArrivedLogins()
    }

    /// Tells programs of logins whose rows have come: from then on they read them in their own file.
    mutating func finishArrivedLogins() {
        for (number, login) in self.logins {
            guard case .arriving(_, let batch, let outcome) = login.stage,
                self.ledger.vector[batch.origin] >= batch.sequence
            else { continue }
            self.finish(number, outcome)
        }
    }

    /// The answer to a login of this PC's programs that this node's store decided.
    mutating func finish(_ command: RequestID, _ outcome: LoginOutcome) {
        guard let number = self.logins.first(where: { $0.value.command == command })?.key else { return }
        self.finish(number, outcome)
    }

    private mutating func finish(_ number: UInt64, _ outcome: LoginOutcome) {
        guard let login = self.logins.removeValue(forKey: number) else { return }
        self.emit(.cancelTimer(.login(number)))
        self.answer(login.command, outcome)
    }

    mutating func endLogins() {
        for number in Array(self.logins.keys) { self.finish(number, .unavailable) }
    }

    mutating func answer(_ command: RequestID, _ outcome: LoginOutcome) {
        self.emit(.reply(command, .loginDecided(outcome)))
    }
}
