package import ClinicSyncModel

/// A client's part in a manual sync that its own people ask for: the host does the work, and its report is the answer.
package struct SyncWishStateMachine: Sendable, Hashable {
    /// A command that waits for the host's report.
    private struct Wish: Sendable, Hashable {
        let id: UInt64
        let request: RequestID
    }

    private let limit: Duration
    private var wishes: [Wish] = []
    private var lastID: UInt64 = 0

    /// Makes a machine without wishes.
    ///
    /// - Parameter limit: A wish that waits longer is answered as `unreachable`. The host's own limit must be shorter,
    ///   so that its report, which names the missing nodes, arrives first.
    package init(limit: Duration) {
        self.limit = limit
    }

    /// Asks the host; at most ``CoreLimits/syncsWaitingMax`` wishes wait.
    ///
    /// With `isAboutMembers`, the host compares nothing and says what it knows of the members.
    package mutating func ask(
        _ host: ConnectionID?,
        table: String?,
        isAboutMembers: Bool = false,
        request: RequestID
    ) -> [Effect] {
        guard let host, self.wishes.count < CoreLimits.syncsWaitingMax else {
            return [SyncWishStateMachine.unreachable(request)]
        }
        self.lastID += 1
        self.wishes.append(Wish(id: self.lastID, request: request))
        let question = SyncRequest(id: self.lastID, table: table, isAboutMembers: isAboutMembers)
        return [
            .send([host], .syncRequest(question)),
            .setTimer(.syncTimeout(self.lastID), after: isAboutMembers ? CoreLimits.membersLimit : self.limit),
        ]
    }

    /// The host's report arrived.
    package mutating func reported(_ report: SyncReport) -> [Effect] {
        // Race: the report arrives after the timer fired.
        guard let wish = self.take(report.id) else { return [] }
        return [.cancelTimer(.syncTimeout(wish.id)), .reply(wish.request, .synced(report))]
    }

    /// A wish waited for too long.
    package mutating func timedOut(_ id: UInt64) -> [Effect] {
        self.take(id).map { [SyncWishStateMachine.unreachable($0.request)] } ?? []
    }

    /// The host changed, or the node stops: all wishes are answered.
    package mutating func breakOff() -> [Effect] {
        defer { self.wishes = [] }
        return self.wishes.flatMap { wish -> [Effect] in
            let report = SyncReport(id: wish.id, result: .unreachable, repairedRows: 0, nodes: [])
            return [.cancelTimer(.syncTimeout(wish.id)), .reply(wish.request, .synced(report))]
        }
    }

    /// The answer to a command that no host can carry out.
    package static func unreachable(_ request: RequestID) -> Effect {
        .reply(request, .synced(SyncReport(id: 0, result: .unreachable, repairedRows: 0, nodes: [])))
    }

    private mutating func take(_ id: UInt64) -> Wish? {
        guard let index = self.wishes.firstIndex(where: { $0.id == id }) else { return nil }
        return self.wishes.remove(at: index)
    }
}
