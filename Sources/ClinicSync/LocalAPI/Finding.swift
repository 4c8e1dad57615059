/// A state that is not well: its cause in one sentence, and what to do in another.
///
/// `clinic-node status`, `clinic-node doctor`, the dashboard, `GET /v1/health` and the metrics show the same findings. A finding
/// never has a value of a row.
public struct Finding: Sendable, Hashable, Codable {
    /// How bad a finding is.
    public enum State: String, Sendable, Hashable, Codable, CaseIterable {
        /// A check of `clinic-node doctor` that found nothing.
        case ok
        /// The node works; a person should act.
        case warning
        /// The node, or a part of it, does not work.
        case failed
    }

    /// The stable code of the cause; `docs/OPERATIONS.md` lists all of them.
    public var check: String
    /// How bad it is.
    public var state: State
    /// The cause, in one sentence.
    public var finding: String
    /// What to do, in one sentence; empty when there is nothing to do.
    public var remedy: String
    /// What it is about, when the code does not say it: a table, the id of a PC, a file.
    @Nullable public var subject: String?
    /// When it began; `null` when that is not known.
    @Nullable public var since: UTCTimestamp?

    /// Makes a finding; its code gives the state.
    ///
    /// - Parameters:
    ///   - code: the cause.
    ///   - finding: the cause in one sentence, with the particulars.
    ///   - remedy: what to do; the remedy of the code if absent.
    ///   - subject: what it is about, when there can be several findings of the code.
    ///   - since: when it began.
    package init(
        _ code: FindingCode,
        _ finding: String,
        remedy: String? = nil,
        subject: String? = nil,
        since: UTCTimestamp? = nil
    ) {
        self.check = code.rawValue
        self.state = code.state
        self.finding = finding
        self.remedy = remedy ?? code.remedy
        self.subject = subject
        self.since = since
    }

    /// Makes the result of a check that found nothing.
    package init(ok check: String, _ finding: String) {
        self.check = check
        self.state = .ok
        self.finding = finding
        self.remedy = ""
        self.subject = nil
        self.since = nil
    }

    /// Returns findings in the order for people: what failed, then the warnings; each group in the order of the codes.
    package static func ordered(_ findings: [Finding]) -> [Finding] {
        let ranks = Dictionary(
            uniqueKeysWithValues: FindingCode.allCases.enumerated().map { ($0.element.rawValue, $0.offset) }
        )
        func rank(_ finding: Finding) -> (Int, Int, String) {
            let severity =
                switch finding.state {
                case .failed: 0
                case .warning: 1
                case .ok: 2
                }
            return (severity, ranks[finding.check] ?? ranks.count, finding.subject ?? "")
        }
        return findings.sorted { rank($0) < rank($1) }
    }
}

/// The answer of `GET /v1/health`: whether the node does its work, and why not.
public struct HealthSummary: Sendable, Hashable, Codable {
    /// The worst state among the findings; `ok` without findings.
    public var state: Finding.State
    /// What is not well, the worst first.
    public var findings: [Finding]

    /// Judges findings.
    public init(_ findings: [Finding]) {
        self.findings = findings
        self.state =
            if findings.contains(where: { $0.state == .failed }) {
                .failed
            } else if findings.contains(where: { $0.state == .warning }) {
                .warning
            } else {
                .ok
            }
    }

    /// Whether the node does its work: nothing has failed.
    public var isReady: Bool { self.state != .failed }
}
