import ClinicSyncModel
import OrderedCollections

// Two processes with one identity: see docs/design/0006-clocks-and-clones.md.
extension NodeStateMachine {
    /// This process's run id.
    var runID: UInt64 { RunWatch.runID(seed: self.configuration.randomSeed) }

    /// Refuses a process whose place another process with the same identity has taken.
    ///
    /// The one that took it hears of it too: its connection is closed with the reason, and it may come back at once.
    ///
    /// - Returns: Whether the connection was refused.
    mutating func refuseOutlived(_ hello: Hello, on id: ConnectionID, from peer: NodeID) -> Bool {
        guard case .outlived(let isNews) = self.runs.heard(hello.runID, of: peer, at: self.now.monotonic) else {
            return false
        }
        if isNews {
            self.emit(.notify(.duplicateIdentity(peer, isSelf: false)))
            for (other, link) in self.links.elements where link.identity.node == peer && other != id {
                self.close(other, .duplicateIdentity)
            }
        }
        self.refuse(id, .duplicateIdentity)
        return true
    }

    /// A hello came with this node's own identity: of this very process, which dialled itself, or of another.
    mutating func metOwnIdentity(_ hello: Hello) {
        if hello.runID != 0, hello.runID != self.runID { self.noteOwnDuplicate() }
    }

    /// Takes note when a peer says that a second process carries this node's identity.
    mutating func heed(_ reason: CloseReason, from peer: NodeID) {
        // A node that dialled itself refuses itself; whether that was another process only the other end knows.
        if reason == .duplicateIdentity, peer != self.configuration.origin.node { self.noteOwnDuplicate() }
    }

    private mutating func noteOwnDuplicate() {
        let last = self.duplicateNoticedAt
        self.duplicateNoticedAt = self.now.monotonic
        if let last, self.now.monotonic - last < RunWatch.tellInterval { return }
        self.emit(.notify(.duplicateIdentity(self.configuration.origin.node, isSelf: true)))
    }

    /// The nodes as which two processes run, this one first.
    func duplicates(at now: Now) -> [NodeID] {
        let isDouble = self.duplicateNoticedAt.map { now.monotonic - $0 < RunWatch.memory } ?? false
        return (isDouble ? [self.configuration.origin.node] : []) + self.runs.doubles(at: now.monotonic)
    }
}
