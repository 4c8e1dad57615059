import ClinicSyncModel

/// Finds what is not well in a status.
///
/// It is a pure function of the status and of the time, so that every place that shows findings shows the same, and tests need no
/// node.
struct StatusFindings {
    /// The status, without findings.
    let status: NodeStatus
    /// The time of the PC, milliseconds since 1970.
    let now: Int64
    /// Findings that come from elsewhere: from the file, the system or the opening.
    var others: [Finding] = []

    /// A clock that is off by less is corrected in silence.
    private static let clockMilliseconds: UInt = 2_000
    /// How long a node may look for a host after its start, and how long a certificate must last.
    private static let searchingSeconds = 10
    private static let certificateMilliseconds: Int64 = 5 * 86_400_000

    /// All findings, the worst first.
    var all: [Finding] {
        Finding.ordered(
            self.disk + self.locks + self.identity + self.certificate + self.peers + self.data + self.bookkeeping
                + self.others
        )
    }

    // MARK: - This PC's file

    private var disk: [Finding] {
        self.status.diskFaults.map { fault in
            let code: FindingCode
            switch fault.fault {
            case "full": code = .diskFull
            case "readOnly": code = .diskReadOnly
            case "slow": code = .diskSlow
            default: code = .diskFailing
            }
            // The message says cause and remedy: the remedy follows a colon, or is a sentence of its own.
            let message = fault.message
            let cause =
                code == .diskSlow
                ? message.prefix { $0 != "." } : message.split(separator: ": ", maxSplits: 1).first ?? ""
            return Finding(code, "\(cause).", since: fault.since)
        }
    }

    private var locks: [Finding] {
        self.status.lockedFiles.map { file in
            guard file.node == self.status.node.id else {
                return Finding(
                    .fileLockedElsewhere,
                    "A program on \(file.name) keeps clinic.db locked.",
                    subject: file.node,
                    since: file.since
                )
            }
            return Finding(
                .fileLocked,
                "\(file.holder(otherwise: "A program")) keeps a write transaction in clinic.db open.",
                since: file.since
            )
        }
    }

    private var identity: [Finding] {
        self.status.duplicateIdentities.map { id in
            Finding(
                .duplicateIdentity,
                id == self.status.node.id
                    ? "Another PC runs with this node's key."
                    : "Two PCs run with the key of \(self.status.peers.first { $0.id == id }?.name ?? id).",
                subject: id
            )
        }
    }

    private var certificate: [Finding] {
        let end = self.status.security.certificateExpires
        let left = end.milliseconds - self.now
        if left <= 0 { return [Finding(.certificateExpired, "This PC's certificate ended at \(end).")] }
        guard left < StatusFindings.certificateMilliseconds else { return [] }
        return [
            Finding(.certificateNearEnd, "This PC's certificate ends at \(end), and could not be renewed so far.")
        ]
    }

    // MARK: - The other PCs

    private var peers: [Finding] {
        var findings: [Finding] = []
        // A node that cannot write does not look for a host before it can: the disk or the lock is the cause.
        let isBlocked =
            self.status.diskFaults.contains { $0.fault != "slow" } || self.locks.contains { $0.state == .failed }
        if self.status.role == .searching, !isBlocked, self.status.node.uptimeSeconds >= StatusFindings.searchingSeconds
        {
            findings.append(Finding(.noHost, "This PC finds no host: it works alone for now."))
        }
        for peer in self.status.peers {
            guard let backOff = peer.backOff, !peer.connected else { continue }
            // A PC that cannot write ends its connections for this reason: it is no second cause.
            if isBlocked, backOff.by == "self", backOff.reason == "\(CloseReason.storageFailed)" { continue }
            let advice = BackOffAdvice(backOff)
            let next = backOff.retrySeconds == 0 ? "now" : "in \(backOff.retrySeconds) s"
            findings.append(
                Finding(
                    BackOffAdvice.code(of: backOff),
                    "No connection with \(peer.name.isEmpty ? peer.id : peer.name), next try \(next): \(advice.cause).",
                    remedy: advice.remedy,
                    subject: peer.id
                )
            )
        }
        let offset = self.status.clockOffsetMilliseconds
        if offset.magnitude >= StatusFindings.clockMilliseconds {
            let direction = offset > 0 ? "slow" : "fast"
            findings.append(
                Finding(
                    .clockOff,
                    "This PC's clock is \(offset.magnitude / 1_000) s \(direction), compared with the host's."
                )
            )
        }
        for id in self.status.lapsedNodes {
            let name = self.status.peers.first { $0.id == id }?.name ?? id
            findings.append(Finding(.memberLapsed, "\(name) was silent for 30 days.", subject: id))
        }
        return findings
    }

    // MARK: - The rows

    private var data: [Finding] {
        var findings = self.status.waiting.map { entry in
            entry.rows == 0
                ? Finding(.schemaDiffers, "\(entry.table): \(entry.reason.unstopped).", subject: entry.table)
                : Finding(
                    .rowsSetAside,
                    "\(entry.rows) row\(entry.rows == 1 ? "" : "s") of \(entry.table): \(entry.reason.unstopped).",
                    subject: entry.table
                )
        }
        if let failure = self.status.progress?.state?.failure {
            findings.append(
                Finding(
                    .stateNotShown,
                    "The clinic's rows have arrived and cannot be shown: \(failure.message.unstopped); "
                        + "next try in \(failure.retrySeconds) s."
                )
            )
        }
        return findings
    }

    private var bookkeeping: [Finding] {
        var findings = self.status.damage.map { damage in
            Finding(
                damage.outcome == "failed" ? .bookkeepingDamaged : .bookkeepingRepaired,
                "\(damage.whatAndOutcome).",
                subject: damage.table,
                since: damage.at
            )
        }
        for warning in self.status.security.warnings {
            // The sentence has the command after the colon.
            let parts = warning.split(separator: ": ", maxSplits: 1).map(String.init)
            let remedy = parts.count == 2 ? parts[1].prefix(1).uppercased() + parts[1].dropFirst() : nil
            findings.append(Finding(.permissionsTooWide, "\(parts[0].unstopped).", remedy: remedy))
        }
        let unsigned = self.status.security.unsignedRows
        if unsigned > 0 {
            findings.append(
                Finding(.unsignedRows, "\(unsigned) row\(unsigned == 1 ? "" : "s") about members that nobody signed.")
            )
        }
        return findings
    }
}
