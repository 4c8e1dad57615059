package import ClinicSyncModel

/// The verdict about the clinic, as one node can tell: whether this PC and the others have equal tables.
///
/// A pure function of ``Facts``, so that the status, the sync, the dashboard, the log and the events say the same.
/// `docs/design/0037-verdict.md` says what counts.
package struct Verdict: Sendable, Hashable {
    /// What the verdict comes to, the worst first.
    package enum State: String, Sendable, Hashable, CaseIterable {
        /// This PC cannot use its file, so nothing can be said.
        case unwell
        /// The clinic has other members, and none is connected.
        case alone
        /// Tables differ from another PC's, and a repair did not help.
        case differs
        /// A connected PC, or this one, lacks changes, or was not compared yet.
        case behind
        /// This PC and all connected members have equal tables.
        case equal
    }

    /// What is known of another member.
    package struct Member: Sendable, Hashable {
        /// Its name for people.
        package var name: String
        /// What the host, or this node as host, knows of it.
        package var report: MemberReport

        /// Makes a member.
        package init(name: String, report: MemberReport) {
            self.name = name
            self.report = report
        }
    }

    /// What the verdict follows from.
    package struct Facts: Sendable, Hashable {
        /// The other members that have not lapsed.
        package var members: [Member]
        /// Why this PC cannot use its file, for the end of a sentence; `nil` when it can.
        package var obstacle: String?
        /// Whether this node is host or is connected with the host.
        package var hasHost: Bool
        /// Batches that another node has and this one lacks.
        package var missingBatches: UInt64
        /// Whether this node gets the state of all rows in place of history.
        package var isGettingState: Bool
        /// This node's batches that the host lacks, when they are not only on their way.
        package var lateBatches: UInt64
        /// The newest dial that did not lead to a member.
        package var lastTry: MemberReport.Try?

        /// Makes facts.
        package init(
            members: [Member],
            obstacle: String? = nil,
            hasHost: Bool = true,
            missingBatches: UInt64 = 0,
            isGettingState: Bool = false,
            lateBatches: UInt64 = 0,
            lastTry: MemberReport.Try? = nil
        ) {
            self.members = members
            self.obstacle = obstacle
            self.hasHost = hasHost
            self.missingBatches = missingBatches
            self.isGettingState = isGettingState
            self.lateBatches = lateBatches
            self.lastTry = lastTry
        }
    }

    /// What it comes to.
    package let state: State
    /// The verdict in one sentence for people, without a full stop and without a time.
    package let sentence: String
    /// How many other members are proven equal.
    package let equalWith: Int
    /// How many other members there are that have not lapsed.
    package let members: Int

    /// Judges facts.
    package init(_ facts: Facts) {
        let connected = facts.members.filter(\.report.isConnected)
        self.members = facts.members.count
        let isProvable = facts.obstacle == nil && facts.hasHost
        self.equalWith = isProvable ? connected.count { $0.report.comparison?.isEqual == true } : 0
        if let obstacle = facts.obstacle {
            self.state = .unwell
            self.sentence = "this PC cannot be compared: \(obstacle)"
        } else if facts.members.isEmpty {
            self.state = .equal
            self.sentence = "this is the clinic's only PC"
        } else if connected.isEmpty {
            self.state = .alone
            self.sentence = "alone, \(Verdict.sentence(of: facts.lastTry))"
        } else if let difference = Verdict.difference(connected) {
            self.state = .differs
            self.sentence = difference
        } else if let lag = Verdict.lag(facts, connected) {
            self.state = .behind
            self.sentence = lag
        } else {
            self.state = .equal
            self.sentence = Verdict.sentence(equalWith: self.equalWith, of: facts.members)
        }
    }

    // MARK: - Sentences

    private static func sentence(of lastTry: MemberReport.Try?) -> String {
        lastTry.map { "last tried \($0.address): \($0.answer)" } ?? "no address of another PC answers"
    }

    private static func difference(_ connected: [Member]) -> String? {
        let different = connected.filter { $0.report.comparison?.isEqual == false }
        guard let first = different.first else { return nil }
        let tables = first.report.comparison?.tables ?? []
        let place = tables.isEmpty ? "differs" : "differs in \(tables.joined(separator: ", "))"
        return "\(place) from \(self.names(different))"
    }

    private static func lag(_ facts: Facts, _ connected: [Member]) -> String? {
        if facts.isGettingState { return "behind: this PC is getting the clinic's rows" }
        if facts.missingBatches > 0 { return "behind: this PC lacks \(self.changes(facts.missingBatches))" }
        guard facts.hasHost else { return "behind: connected, and there is no host to compare with" }
        if facts.lateBatches > 0 { return "behind: the host lacks \(self.changes(facts.lateBatches)) of this PC" }
        let late = connected.filter { $0.report.isLate || $0.report.isJoining }
        if let worst = late.max(by: { $0.report.lagBatches ?? 0 < $1.report.lagBatches ?? 0 }) {
            let others = late.count == 1 ? "" : " (and \(late.count - 1) more PC\(late.count == 2 ? "" : "s"))"
            return "behind: \(worst.name)\(others) lacks \(self.changes(worst.report.lagBatches ?? 0))"
        }
        let unproven = connected.filter { $0.report.comparison == nil }
        return unproven.isEmpty ? nil : "behind: not compared with \(self.names(unproven)) yet"
    }

    private static func sentence(equalWith count: Int, of members: [Member]) -> String {
        let all = "equal with \(count) of \(members.count) PC\(members.count == 1 ? "" : "s")"
        let missing = members.filter { !$0.report.isConnected }
        guard !missing.isEmpty else { return all }
        return "\(all), not connected: \(self.names(missing))"
    }

    private static func changes(_ batches: UInt64) -> String { "\(batches) change\(batches == 1 ? "" : "s")" }

    /// The largest number of names in a sentence.
    private static let namesMax = 3

    private static func names(_ members: [Member]) -> String {
        let names = members.prefix(self.namesMax).map(\.name).joined(separator: ", ")
        return members.count > self.namesMax ? "\(names) and \(members.count - self.namesMax) more" : names
    }
}
