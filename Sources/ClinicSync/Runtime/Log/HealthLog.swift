import Logging

/// Logs each finding once when it begins and once when it ends, and how many rows of each table changed.
struct HealthLog: Sendable {
    /// What a finding is about, without the words, which may change while it lasts.
    private struct Key: Hashable {
        var check: String
        var subject: String?
    }

    /// The time between two looks.
    static let interval = Duration.seconds(60)

    /// Where to log.
    let logger: Logger
    /// The changed rows since the last look.
    let changes: TableCounts
    private var known: [Key: Finding] = [:]

    /// Starts with no finding.
    init(logger: Logger, changes: TableCounts) {
        self.logger = logger
        self.changes = changes
    }

    /// Looks once a minute until cancelled.
    ///
    /// - Parameter findings: returns what is not well.
    /// - Throws: `CancellationError`.
    mutating func run(_ findings: () async -> [Finding]) async throws {
        while true {
            try await Task.sleep(for: HealthLog.interval)
            self.look(at: await findings())
        }
    }

    /// Logs what began and what ended since the last look.
    mutating func look(at findings: [Finding]) {
        let present = Dictionary(
            findings.filter { FindingCode(rawValue: $0.check)?.isLoggedElsewhere == false }
                .map { (Key(check: $0.check, subject: $0.subject), $0) },
            uniquingKeysWith: { first, _ in first }
        )
        for finding in findings where present[Key(check: finding.check, subject: finding.subject)] == finding {
            guard self.known[Key(check: finding.check, subject: finding.subject)] == nil else { continue }
            self.logger.log(
                level: finding.state == .failed ? .error : .warning,
                "Something is not well",
                metadata: HealthLog.metadata(of: finding).merging([
                    "finding.cause": "\(finding.finding)", "finding.remedy": "\(finding.remedy)",
                ]) { first, _ in first }
            )
        }
        for (key, finding) in self.known where present[key] == nil {
            self.logger.notice("This is well again", metadata: HealthLog.metadata(of: finding))
        }
        self.known = present
        for entry in self.changes.take() {
            self.logger.info(
                "Rows of a table changed",
                metadata: [
                    "table": "\(entry.table)", "change.local": "\(entry.counts.local)",
                    "change.remote": "\(entry.counts.remote)",
                ]
            )
        }
    }

    private static func metadata(of finding: Finding) -> Logger.Metadata {
        var metadata: Logger.Metadata = ["finding.check": "\(finding.check)"]
        if let subject = finding.subject { metadata["finding.subject"] = "\(subject)" }
        return metadata
    }
}
