import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// What people are told when the whole clinic was brought back to a backup.
struct EpochFindings {
    /// What the node has followed at its start.
    let followed: EpochState.Followed?
    /// What it waits for, and refuses.
    let report: EpochWatch.Report
    /// The members' names.
    let names: [NodeID: String]

    /// One finding for each fact; none when there is none.
    var findings: [Finding] {
        [
            self.followed.map(self.finding), self.report.waiting.map(self.finding),
            self.report.refusal.map { Finding(.backupRefused, "A return to a backup was refused: \($0)") },
        ].compactMap { $0 }
    }

    private func decision(_ epoch: Epoch) -> String {
        "The whole clinic was brought back to a backup, on \(self.names[epoch.node] ?? epoch.node.description) at "
            + "\(UTCTimestamp(milliseconds: epoch.decidedAt))"
    }

    private func finding(_ followed: EpochState.Followed) -> Finding {
        let own =
            switch followed.outcome.unshared {
            case 0: "no changes of this PC are known to be in it alone"
            case 1: "1 batch of this PC's changes may be in it alone"
            default: "\(followed.outcome.unshared) batches of this PC's changes may be in it alone"
            }
        let unread = followed.outcome.lost.map { ", and it could not be read in full: \($0)" } ?? ""
        let aside = followed.outcome.aside ?? "nowhere"
        return Finding(
            .backupFollowed,
            "\(self.decision(followed.epoch)): this PC's former database is \(aside), \(own)\(unread).",
            remedy: "To merge all of it into the clinic again, stop the node and run clinic-node restore \(aside)"
        )
    }

    private func finding(_ waiting: Epoch) -> Finding {
        let program =
            self.report.holder.map { "\($0.program) (process \($0.process))" } ?? "the program that has it open"
        return Finding(
            .backupWaits,
            "\(self.decision(waiting)): this PC follows as soon as no program has clinic.db open.",
            remedy: "Close \(program)."
        )
    }
}
