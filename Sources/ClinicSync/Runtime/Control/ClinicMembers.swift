import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// What is known of the clinic's other members: by this node as host, or by the host that it asks.
struct ClinicMembers: Sendable {
    /// A member that has neither lapsed nor been revoked.
    struct Member: Sendable {
        var id: NodeID
        /// Its name, and what is known of it.
        var standing: Verdict.Member
        /// When it was last heard of, by the host or by what is stored here: milliseconds since 1970; `nil`: never.
        var seen: Int64?
    }

    let state: NodeState
    let register: MemberRegister
    let storage: StorageService
    let driver: NodeDriver

    /// Returns what is known of the other members, by id.
    ///
    /// A client is connected with its host alone, so it asks the host. A host of an earlier version does not answer that; then
    /// nothing is known of the others.
    func reports(_ core: CoreStatus) async -> [NodeID: MemberReport] {
        var reports = Dictionary(core.members.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
        guard core.role == .client, let host = core.host?.id,
            case .synced(let answer) = await self.driver.perform(.members), answer.result == .equal
        else { return reports }
        let isHostEqual = reports[host]?.comparison?.isEqual == true
        for var report in answer.members where report.node != self.state.id && report.node != host {
            // Who is equal with the host is equal with this node only if this node is, too.
            if !isHostEqual, report.comparison?.isEqual == true { report.comparison = nil }
            reports[report.node] = report
        }
        return reports
    }

    /// Returns the other members that have not lapsed.
    ///
    /// - Parameters:
    ///   - core: what the core says.
    ///   - asksHost: whether a client asks its host about the others.
    /// - Returns: The members, ascending by id.
    /// - Throws: the store's errors.
    func all(_ core: CoreStatus, asksHost: Bool = true) async throws -> [Member] {
        let own = Dictionary(core.members.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
        let reports = asksHost ? await self.reports(core) : own
        let known = self.register.known
        let lapsed = try await StorageErrors.mapping { try await self.storage.read { try $0.lapses() } }
        let ids = Set(known.present + reports.keys).subtracting(known.past)
            .filter { $0 != self.state.id && lapsed[$0] == nil }
        let names = MemberList(state: self.state, register: self.register).names
        var members = ids.sorted().map { id in
            let report = reports[id] ?? MemberReport(node: id)
            let name = names[id].flatMap { $0.isEmpty ? nil : $0 } ?? "PC \(id.description.prefix(8))"
            return Member(id: id, standing: Verdict.Member(name: name, report: report), seen: report.lastSeen)
        }
        guard members.contains(where: { $0.seen == nil }) else { return members }
        let progress = try await StorageErrors.mapping { try await self.storage.read { try $0.memberProgress() } }
        let recorded = Dictionary(
            progress.map { ($0.node, $0.seenMilliseconds) },
            uniquingKeysWith: { first, _ in first }
        )
        for index in members.indices where members[index].seen == nil {
            members[index].seen = recorded[members[index].id]
        }
        return members
    }
}

extension ClinicMembers {
    /// Makes the part of a run that knows the members.
    init(of run: NodeRun, driver: NodeDriver) {
        self.init(state: run.state, register: run.register, storage: run.storage, driver: driver)
    }
}

extension Verdict.Facts {
    /// Takes what a node knows.
    init(_ core: CoreStatus, members: [ClinicMembers.Member]) {
        let failed = core.dials.filter { $0.answer != .linked }.max { $0.atMilliseconds < $1.atMilliseconds }
        self.init(
            members: members.map(\.standing),
            obstacle: Verdict.Facts.obstacle(core),
            hasHost: core.role == .host || core.role == .client,
            missingBatches: core.missingBatches,
            isGettingState: core.stateTransfer != nil,
            lateBatches: core.isPendingLate ? core.pendingChanges : 0,
            lastTry: failed.map { MemberReport.Try(address: $0.address, answer: $0.answer.words) }
        )
    }

    private static func obstacle(_ core: CoreStatus) -> String? {
        if core.role == .stopped { return "its node is stopping" }
        if core.storeLock != nil { return "a program keeps clinic.db locked" }
        return core.diskFaults.first { $0.kind != .slow }.map { fault in
            switch fault.kind {
            case .full: "the disk is full"
            case .readOnly: "the disk is read-only"
            default: "the disk is failing"
            }
        }
    }
}

extension ClinicMembers.Member {
    /// Why the member is not connected, for people; `nil` when it is.
    var absence: String? {
        let report = self.standing.report
        guard !report.isConnected else { return nil }
        return report.lastTry.map { "not connected, last tried \($0.address): \($0.answer)" } ?? "not connected"
    }
}
