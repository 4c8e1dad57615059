import ClinicSyncCore
import ClinicSyncModel

extension NodeStatusControl {
    /// Judges the clinic.
    ///
    /// - Parameters:
    ///   - core: what the core says.
    ///   - asksHost: whether a client asks its host about the others; else it judges by its host alone.
    /// - Returns: The verdict.
    /// - Throws: the store's errors.
    func verdict(_ core: CoreStatus, asksHost: Bool = true) async throws -> VerdictSummary {
        var members = try await self.members.all(core, asksHost: asksHost)
        if !asksHost, core.role == .client { members.removeAll { $0.id != core.host?.id } }
        let verdict = Verdict(Verdict.Facts(core, members: members))
        let now = self.state.correctedMilliseconds
        let began: Int64 =
            switch verdict.state {
            case .alone:
                now - self.milliseconds(since: core.peers.map(\.lastSeen.monotonic).max() ?? self.startedAt)
            case .unwell, .differs, .behind, .equal: now
            }
        return VerdictSummary(
            state: verdict.state.rawValue,
            sentence: verdict.sentence,
            since: UTCTimestamp(milliseconds: self.verdicts.note(verdict.state, began: began)),
            equalWith: verdict.equalWith,
            members: verdict.members,
            missing: members.compactMap { member in
                member.absence.map { absence in
                    VerdictSummary.Missing(
                        id: member.id.description,
                        name: member.standing.name,
                        since: member.seen.map(UTCTimestamp.init(milliseconds:)),
                        reason: absence
                    )
                }
            }
        )
    }

    private func milliseconds(since time: Duration) -> Int64 {
        (self.state.clock.now.monotonic - time).wholeMilliseconds
    }
}
