import ClinicSyncModel
import OrderedCollections

/// Whether somebody else can have what this node makes.
enum Isolation: Sendable, Hashable {
    /// Nobody; nothing is exchanged. Can transition to `ending`.
    case isolated
    /// What nobody has seen is being stamped anew; nothing is exchanged yet. Can transition to `over`, `isolated`.
    case ending
    /// Changes are exchanged. Can transition to `isolated`.
    case over
}

// The time in which nobody else has what this node makes.
//
// A PC that was alone may have stamped its changes with a wrong clock. What nobody else has seen is stamped anew as soon
// as the clinic's time is known, so nothing is exchanged before that: see docs/design/0006-clocks-and-clones.md.
extension NodeStateMachine {
    /// The last connection is gone.
    mutating func beginIsolation() {
        guard self.isolation != .isolated else { return }
        self.isolation = .isolated
        self.emit(.storage(.beginIsolation))
    }

    /// The clinic's time is known, or this node's is the clinic's.
    mutating func endIsolation() {
        guard self.isolation == .isolated, !self.links.isEmpty, !self.election.isAdopting else { return }
        self.isolation = .ending
        self.outstandingRestamps += 1
        self.emit(.storage(.restamp(offsetMilliseconds: self.offsetMilliseconds)))
    }

    /// Exchange begins: only now, since the log is read beside the store's writes.
    mutating func restamped() {
        self.outstandingRestamps -= 1
        // The last connection may have gone meanwhile, and another have come, for which it is done once more.
        guard self.isolation == .ending, self.outstandingRestamps == 0 else { return }
        self.isolation = .over
        for id in Array(self.links.keys) {
            guard let peer = self.links[id]?.identity.node, let known = self.directory[peer] else { continue }
            self.emit(.storage(.locate(for: id, vector: known.acknowledged)))
            self.storeNext(from: id)
        }
    }

    /// Without new stamps nothing may be exchanged: the peers come again, and it is tried again.
    mutating func restampFailed() {
        self.outstandingRestamps -= 1
        guard self.isolation == .ending else { return }
        self.isolation = .isolated
        for id in Array(self.links.keys) { self.close(id, .storageFailed) }
    }
}
