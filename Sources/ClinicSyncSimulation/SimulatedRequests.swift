package import ClinicSyncCore
import ClinicSyncModel

/// The requests of programs and people, and the answers.
struct SimulatedRequests {
    /// The syncs without an answer, each with its node's index.
    private(set) var openSyncs: [RequestID: Int] = [:]
    /// The answers to syncs.
    private(set) var syncReports: [RequestID: SyncReport] = [:]
    /// The decisions on logins.
    private(set) var logins: [RequestID: LoginOutcome] = [:]
    private var lastRequest: UInt64 = 0

    /// Returns the number of a new request.
    mutating func nextID() -> RequestID {
        self.lastRequest += 1
        return RequestID(rawValue: self.lastRequest)
    }

    /// Returns the number of a new sync, which `node` must answer.
    mutating func openSync(at node: Int) -> RequestID {
        let request = self.nextID()
        self.openSyncs[request] = node
        return request
    }

    /// Records the answer to a sync.
    mutating func answer(_ request: RequestID, _ report: SyncReport) {
        self.openSyncs[request] = nil
        self.syncReports[request] = report
    }

    /// Records the decision on a login.
    mutating func answer(_ request: RequestID, _ outcome: LoginOutcome) { self.logins[request] = outcome }

    /// Removes the open syncs of a node, because its process has ended.
    mutating func abandon(at node: Int) { self.openSyncs = self.openSyncs.filter { $0.value != node } }
}

extension SimulatedWorld {
    /// Asks a node's core to sync the clinic.
    func requestSync(at index: Int) throws -> RequestID {
        let request = self.requests.openSync(at: index)
        try self.give(.commandReceived(request, .sync(table: nil)), to: index, process: self.nodes[index].processNumber)
        return request
    }

    /// Asks a node's core to log a user in, like a program after a right password.
    ///
    /// - Returns: The number of the answer in ``logins``. There is no answer if the process ends before.
    package func requestLogin(at index: Int, session: String, user: String, isForced: Bool = false) throws -> RequestID
    {
        let request = self.requests.nextID()
        let node = self.nodes[index]
        let login = node.login(session: session, user: user, isForced: isForced)
        try self.give(.commandReceived(request, .login(login)), to: index, process: node.processNumber)
        return request
    }
}

extension SimulatedNode {
    /// A login that a program asks for now.
    fileprivate func login(session: String, user: String, isForced: Bool) -> LoginRequest {
        LoginRequest(
            sessionID: session,
            userID: .string(user),
            username: user,
            deviceID: self.origin.node.description,
            deviceName: self.name,
            tokenHash: Array(repeating: 7, count: 32),
            loginMilliseconds: self.process?.machine.clinicMilliseconds(at: self.clock.milliseconds) ?? 0,
            isForced: isForced
        )
    }
}
