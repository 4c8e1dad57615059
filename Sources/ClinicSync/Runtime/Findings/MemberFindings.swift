/// What is not well with the connections to the other members.
struct MemberFindings {
    /// A member besides this node.
    struct Member: Sendable, Hashable {
        var id: String
        var name: String
        /// The version of its program; empty when unknown.
        var version: String
    }

    /// The status, without findings.
    let status: NodeStatus
    /// The members that the clinic has, besides this node.
    let members: [Member]
    /// Why nodes cannot be looked for on the LAN; `nil` when they can, or when that is switched off.
    let discoveryFault: String?
    /// The time of the PC, milliseconds since 1970.
    let now: Int64

    /// A member may be away for so long without a finding: it restarts.
    private static let patience: Int64 = 30_000
    /// Addresses that a finding names at most.
    private static let addressesMax = 3

    /// All findings.
    var all: [Finding] {
        let missing = self.missing
        var findings = missing.map(self.finding)
        if let discoveryFault, !missing.isEmpty || self.status.role == .searching {
            findings.append(
                Finding(.discoveryUnavailable, "Nodes cannot be looked for on the LAN: \(discoveryFault.unstopped).")
            )
        }
        findings += self.members.compactMap { member in
            guard !member.version.isEmpty, member.version != self.status.node.version else { return nil }
            return Finding(
                .versionsMixed,
                "\(member.name) runs version \(member.version), and this PC \(self.status.node.version).",
                subject: member.id
            )
        }
        return findings
    }

    /// The members to which this node has no connection and should have one.
    ///
    /// A client is connected with its host alone.
    private var missing: [Member] {
        guard self.status.role == .host || self.status.role == .searching,
            Int64(clamping: self.status.node.uptimeSeconds) &* 1_000 >= MemberFindings.patience
        else { return [] }
        return self.members.filter { member in
            guard !self.status.lapsedNodes.contains(member.id) else { return false }
            guard let peer = self.status.peers.first(where: { $0.id == member.id }) else { return true }
            guard !peer.connected, peer.backOff == nil else { return false }
            return peer.lastSeen.map { self.now - $0.milliseconds >= MemberFindings.patience } ?? true
        }
    }

    private func finding(_ member: Member) -> Finding {
        let dials = self.status.dials.filter { $0.node == member.id && $0.answer != "linked" }
            .sorted { $0.at > $1.at }.prefix(MemberFindings.addressesMax)
        let tried = dials.map { "\($0.address) \($0.message) (\($0.tries) \($0.tries == 1 ? "try" : "tries"))" }
        let seen = self.status.peers.first { $0.id == member.id }?.lastSeen
        return Finding(
            .memberNotReached,
            "\(member.name) is not connected" + (tried.isEmpty ? "." : ": " + tried.joined(separator: "; ") + "."),
            remedy: dials.first.flatMap { MemberFindings.remedy(for: $0.answer) },
            subject: member.id,
            since: seen ?? dials.map(\.since).min()
        )
    }

    /// What to do about the newest answer; `nil` when the usual remedy fits.
    private static func remedy(for answer: String) -> String? {
        switch answer {
        case "refused": "Start the node on that PC: 'systemctl start clinic-node', or 'clinic-node run'."
        case "timedOut", "silent":
            "Switch that PC on, check its cable or Wi-Fi, and open TCP port 7450 in its firewall ('clinic-node doctor' there)."
        case "unreachable": "Check the cable or Wi-Fi of this PC, and that both PCs are in one network."
        case "foreign", "wrongClinic": "Another clinic's PC has that address: find that PC, or let it join this clinic."
        case "certificate", "expired": "Check that the clocks of both PCs are right, then start the node there again."
        case "turnedAway": "Read the log of that PC, which says why it lets this PC in no more."
        case "notANode": "Another program uses the port on that PC: stop it, or give the node another port."
        default: nil
        }
    }
}

extension String {
    /// The text without the full stop at its end.
    var unstopped: String { self.hasSuffix(".") ? String(self.dropLast()) : self }
}
