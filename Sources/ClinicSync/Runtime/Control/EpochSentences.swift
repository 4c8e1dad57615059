import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// What people are told when the whole clinic was brought back to a backup.
struct EpochSentences {
    /// What the node has followed at its start.
    let followed: EpochState.Followed?
    /// What it waits for, and refuses.
    let report: EpochWatch.Report
    /// The members' names.
    let names: [NodeID: String]

    /// One sentence for each fact; none when there is none.
    var all: [String] {
        [self.followed.map(self.sentence), self.report.waiting.map(self.sentence), self.report.refusal].compactMap {
            $0
        }
    }

    private func decision(_ epoch: Epoch) -> String {
        "the whole clinic was brought back to a backup, on \(self.names[epoch.node] ?? epoch.node.description) at "
            + "\(UTCTimestamp(milliseconds: epoch.decidedAt))"
    }

    private func sentence(_ followed: EpochState.Followed) -> String {
        let own =
            switch followed.outcome.unshared {
            case 0: "no changes of this PC are known to be in it alone"
            case 1: "1 batch of this PC's changes may be in it alone"
            default: "\(followed.outcome.unshared) batches of this PC's changes may be in it alone"
            }
        let unread = followed.outcome.lost.map { ", and it could not be read in full: \($0)" } ?? ""
        let aside = followed.outcome.aside ?? "nowhere"
        return "\(self.decision(followed.epoch)): this PC's former database is \(aside), \(own)\(unread); "
            + "to merge all of it into the clinic again, stop the node and run clinic-node restore \(aside)"
    }

    private func sentence(_ waiting: Epoch) -> String {
        let program = self.report.holder.map { "\($0.program) (process \($0.process))" } ?? "a program"
        return "\(self.decision(waiting)): this PC follows as soon as no program has clinic.db open; close \(program)"
    }
}
