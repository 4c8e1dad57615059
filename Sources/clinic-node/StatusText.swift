import ClinicSync

/// `status` as people read it.
struct StatusText {
    private let status: NodeStatus
    private let style: Style
    private let now: UTCTimestamp

    init(_ status: NodeStatus, style: Style, now: UTCTimestamp) {
        self.status = status
        self.style = style
        self.now = now
    }

    /// All lines.
    var lines: [String] {
        var lines = [self.title, ""]
        lines += self.facts.map { "  " + self.style.dim(StatusText.pad($0.name, 12)) + $0.value }
        lines += self.findingLines + self.peerLines + self.tableLines
        return lines
    }

    private var title: String {
        let role: String
        switch self.status.role {
        // The verdict has the colour: a host can be alone.
        case .host: role = "host"
        case .client: role = "client"
        case .searching where self.obstacle != nil: role = self.style.bad("cannot write clinic.db")
        case .searching: role = self.style.warning("searching for the host")
        case .stopped: role = self.style.bad("stopped")
        }
        return "\(self.style.bold(self.status.node.name))  \(role)  \(self.status.clinic.name)"
    }

    private var facts: [(name: String, value: String)] {
        let status = self.status
        var facts: [(name: String, value: String)] =
            self.verdict + [
                ("node", status.node.id),
                ("version", "\(status.node.version), schema \(status.node.schemaVersion)"),
                ("running for", StatusText.age(seconds: status.node.uptimeSeconds)),
                ("host", status.host.map { "\($0.name) at \($0.address)" } ?? self.style.warning("none")),
                ("connections", String(status.activeConnections)),
                ("pending", self.pending),
                ("compared", self.reconciliation),
                ("certificate", self.certificate),
            ]
        if status.security.refusedConnections > 0 {
            let count = status.security.refusedConnections
            facts.append(("refused", "\(count) connection\(count == 1 ? "" : "s") from unknown PCs"))
        }
        if abs(status.clockOffsetMilliseconds) > 0 {
            facts.append(("clock", "\(status.clockOffsetMilliseconds) ms off the host's"))
        }
        if status.conflicts.open > 0 {
            facts.append(("conflicts", self.style.warning("\(status.conflicts.open) open")))
        }
        if let progress = status.progress {
            facts.append(("catching up", self.style.warning(progress.state?.sentence ?? StatusText.text(progress))))
        }
        return facts
    }

    /// The verdict, then a line for each PC that is missing.
    private var verdict: [(name: String, value: String)] {
        guard let verdict = self.status.verdict else { return [] }
        let words =
            switch verdict.state {
            case "equal": verdict.isWhole ? self.style.good(verdict.sentence) : self.style.warning(verdict.sentence)
            case "behind": self.style.warning(verdict.sentence)
            default: self.style.bad(verdict.sentence)
            }
        let age = Int(max(0, self.now.milliseconds - verdict.since.milliseconds) / 1_000)
        return [("verdict", "\(words), for \(StatusText.age(seconds: age))")]
            + verdict.missing.map { missing in
                let seen = missing.since.map { "seen \(self.ago($0))" } ?? "never seen"
                return ("missing", "\(missing.name), \(seen): \(missing.reason)")
            }
    }

    private static func text(_ progress: NodeStatus.Progress) -> String {
        let missing = "\(progress.missingBatches) batch\(progress.missingBatches == 1 ? "" : "es") to come"
        return progress.partialBatches == 0 ? missing : missing + ", \(progress.partialBatches) of them arrived in part"
    }

    /// Why the node does not know what it lacks: it cannot write this PC's file; `nil` when it can.
    private var obstacle: String? {
        if self.status.lockedFiles.contains(where: { $0.node == self.status.node.id }) { return "clinic.db is locked" }
        return self.status.diskFaults.first { $0.fault != "slow" }.map { "the disk is \($0.name)" }
    }

    private var pending: String {
        if let obstacle { return self.style.warning("not known while \(obstacle)") }
        return switch self.status.pendingChanges {
        case 0: "0 changes (the host has everything)"
        case 1: self.style.warning("1 change that the host does not have yet")
        default: self.style.warning("\(self.status.pendingChanges) changes that the host does not have yet")
        }
    }

    private var certificate: String {
        let security = self.status.security
        let left = security.certificateExpires.milliseconds - self.now.milliseconds
        guard left > 0 else { return self.style.bad("expired") + ", the node is renewing it" }
        let right = security.maySign ? ", this PC may invite" : ""
        return "valid for \(StatusText.age(seconds: Int(left / 1_000)))" + right
    }

    private var reconciliation: String {
        if let obstacle { return self.style.warning("not known while \(obstacle)") }
        guard let last = self.status.lastReconciliation else { return self.style.dim("not yet") }
        let age = StatusText.age(seconds: Int(max(0, self.now.milliseconds - last.at.milliseconds) / 1_000))
        let text = "\(age) ago, took \(last.milliseconds) ms"
        switch last.result {
        case "equal": return self.style.good("equal") + ", " + text
        case "repaired": return self.style.good("equal") + " after repair of \(last.repairedRows) rows, " + text
        case "differs": return self.style.bad("tables differ") + ", " + text
        default: return self.style.warning("no node to compare with") + ", " + text
        }
    }

    private var findingLines: [String] {
        guard !self.status.findings.isEmpty else { return [] }
        return [""] + FindingText(style: self.style, now: self.now).lines(of: self.status.findings, indent: 2)
    }

    private var peerLines: [String] {
        guard !self.status.peers.isEmpty else { return [] }
        var table = TextTable([
            ("PEER", .left), ("ROLE", .left), ("ADDRESS", .left), ("STATE", .left), ("LAG", .right), ("PING", .right),
        ])
        for peer in self.status.peers {
            let ping = peer.roundTripMilliseconds.map { "\(($0 * 10).rounded() / 10) ms" } ?? "-"
            let connected = peer.joining ? "connected, joining" : "connected"
            let state = peer.connected ? connected : peer.lastSeen.map { "seen \(self.ago($0))" } ?? "never seen"
            table.add([peer.name, peer.role, peer.address, state, String(peer.lagBatches), ping])
        }
        return [""] + table.lines(indent: 2, style: self.style)
    }

    private var tableLines: [String] {
        var table = TextTable([("TABLE", .left), ("ROWS", .right), ("DIGEST", .left)])
        for entry in self.status.tables {
            table.add([entry.name, String(entry.rows), String(entry.digest.prefix(12))])
        }
        return [""] + table.lines(indent: 2, style: self.style)
    }

    private func ago(_ moment: UTCTimestamp) -> String {
        StatusText.age(seconds: Int(max(0, self.now.milliseconds - moment.milliseconds) / 1_000)) + " ago"
    }

    /// `42 s`, `3 min`, `5 h 12 min`, `2 d 4 h`.
    static func age(seconds: Int) -> String {
        switch seconds {
        case ..<60: "\(seconds) s"
        case ..<3_600: "\(seconds / 60) min"
        case ..<86_400: "\(seconds / 3_600) h \(seconds / 60 % 60) min"
        default: "\(seconds / 86_400) d \(seconds / 3_600 % 24) h"
        }
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
}
