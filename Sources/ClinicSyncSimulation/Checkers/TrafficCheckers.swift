import ClinicSyncCore
import ClinicSyncModel

/// A sender never has more payload in transit than the receiver granted, except for one chunk, and gets back no more
/// credit than it spent.
///
/// So the receiver's queue is bounded too: it holds only granted bytes that are not stored yet.
final class CreditChecker: SimulationChecker {
    private let granted: Int
    /// The credit of each end of a connection.
    private var credit: [ConnectionID: Int] = [:]

    init(_ options: SimulationOptions) { self.granted = options.creditBytes }

    func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
        // A suspect may grant any credit; others grant what the options say.
        if case .messageReceived(let id, .hello(let hello), _) = input, world.isSuspect(behind: id) {
            self.credit[id] = Int(hello.creditBytes)
        }
        if case .messageReceived(let id, .acknowledge(let ack), _) = input {
            let credit = self.credit[id, default: self.granted] + Int(ack.creditBytes)
            self.credit[id] = credit
            if credit > self.granted, !world.isSuspect(node), !world.isSuspect(behind: id) {
                world.fail("\(node.name) gets more credit back than it spent")
            }
        }
        for case .send(let ids, .chunk(let chunk)) in effects {
            for id in ids {
                let left = self.credit[id, default: self.granted]
                if left <= 0 { world.fail("\(node.name) sends \(Summary.of(chunk)) without credit") }
                self.credit[id] = left - chunk.payload.count
            }
        }
    }
}

/// A chunk never goes back over the connection it came from, nor twice over one connection.
final class EchoChecker: SimulationChecker {
    private struct Name: Hashable {
        let batch: BatchID
        let index: UInt32
    }

    /// What each end of a connection has received or sent.
    private var seen: [ConnectionID: Set<Name>] = [:]

    func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
        if case .messageReceived(let id, .chunk(let chunk), _) = input {
            self.seen[id, default: []].insert(Name(batch: chunk.batch, index: chunk.index))
        }
        for case .send(let ids, .chunk(let chunk)) in effects {
            let name = Name(batch: chunk.batch, index: chunk.index)
            for id in ids where !self.seen[id, default: []].insert(name).inserted {
                world.fail("\(node.name) sends \(Summary.of(chunk)) again or back over c\(id.rawValue)")
            }
        }
    }
}

/// Honest nodes never close each other's connections as faulty, and stores fail only on command.
final class FailureChecker: SimulationChecker {
    private let mayEscape: Bool
    private let mayLoseRows: Bool
    /// Whether links may end soon, so that a peer rests for a moment.
    private let mayRest: Bool

    init(_ options: SimulationOptions) {
        self.mayEscape = options.faults.contains(.escapedWrite)
        self.mayLoseRows = options.faults.contains(.lostRow)
        self.mayRest = options.faults.contains { ![.clockStep, .lostRow, .escapedWrite].contains($0) }
    }

    func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
        for effect in effects {
            switch effect {
            case .close(let id, let reason):
                // A suspect can make others connect again and again.
                if world.isSuspect(behind: id) { continue }
                if !self.isHarmless(reason, in: world) { world.fail("\(node.name) closes a connection: \(reason)") }
            case .turnAway(let id, let reason, _):
                if world.isSuspect(behind: id) { continue }
                if !self.isHarmless(reason, in: world) { world.fail("\(node.name) turns a peer away: \(reason)") }
            case .notify(.storageFailed(let failure)):
                if self.isRefusal(input, in: world) { continue }
                guard !FaultInjector.storeFailures.contains(failure) else { continue }
                world.fail("\(node.name)'s store failed: \(failure)")
            case .notify(.escapedWrites(let count)), .notify(.unmarkedSetBack(let count)):
                if !self.mayEscape { world.fail("\(count) writes escaped capture on \(node.name)") }
            case .notify(.logTooShort(let peer)):
                if world.members.allSatisfy({ $0.origin.node != peer }) { continue }
                world.fail("\(node.name) cannot serve \(Summary.letter(peer))")
            case .notify(.ownDamage(let repair)):
                if self.mayLoseRows, world.phase.suspect == nil { continue }
                world.fail("\(node.name) takes itself for damaged: \(repair)")
            case .notify(.captureRepaired): world.fail("\(node.name) had lost its triggers")
            case .send, .dial, .setTimer, .cancelTimer, .storage, .publish, .learn, .prove, .probeAnswered,
                .recordAnswers, .meter, .reply, .notify, .stopped:
                break
            }
        }
    }

    /// Whether the store refused what the suspect sent.
    private func isRefusal(_ input: Input, in world: SimulatedWorld) -> Bool {
        // Batches that somebody made under an honest name are not told from the author's own.
        if case .storageReplied(.failed(_, .forked)) = input, world.phase.suspect?.isForging == true { return true }
        let request: StorageRequest
        switch input {
        case .storageReplied(.failed(let failed, .malformed)), .storageReplied(.failed(let failed, .forked)):
            request = failed
        default: return false
        }
        switch request {
        case .store(let id, _, _), .mergeRows(let id, _, _), .compare(let id, _), .stageState(let id, _, _),
            .compareRanges(.answer(let id), _):
            return world.isSuspect(behind: id)
        default: return false
        }
    }

    private func isHarmless(_ reason: CloseReason, in world: SimulatedWorld) -> Bool {
        switch reason {
        case .shuttingDown, .peerSilent, .replaced, .handshakeTimeout, .connectionLost, .storageFailed, .notHost: true
        case .overloaded: self.mayRest || world.phase.suspect != nil
        case .protocolViolation, .protocolVersion, .wrongClinic, .notAMember, .duplicateIdentity, .revoked, .otherEpoch:
            false
        }
    }
}
