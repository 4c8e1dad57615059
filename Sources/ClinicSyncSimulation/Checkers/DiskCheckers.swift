import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// A power cut never damages a file.
final class DiskChecker: SimulationChecker {
    func powerLost(_ node: SimulatedNode, in world: SimulatedWorld) throws {
        if let damage = node.disk.damage() { world.fail("\(node.name)'s file is damaged: \(damage)") }
    }
}

/// A power cut never makes a node take its own file for a copy or a backup; a copy is always noticed.
final class IdentityChecker: SimulationChecker {
    /// The PCs that got files of another place and have not started since.
    private var copies: Set<Int> = []

    func started(_ node: SimulatedNode, _ state: StoreState, in world: SimulatedWorld) throws {
        let rebirth = node.process?.writing.writer.rebirth
        let isCopy = self.copies.remove(node.index) != nil
        if let rebirth, !isCopy { world.fail("\(node.name) goes on as another: \(rebirth.rawValue)") }
        if rebirth == nil, isCopy { world.fail("\(node.name) goes on under the numbers of a copy") }
    }

    func filesReplaced(of node: SimulatedNode, isCopy: Bool, in world: SimulatedWorld) throws {
        if isCopy { self.copies.insert(node.index) } else { self.copies.remove(node.index) }
    }
}

/// Programs never see a position twice, and positions ascend.
final class EventChecker: SimulationChecker {
    private var newest: [Int: UInt64] = [:]

    func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
        for case .publish(let events) in effects {
            for event in events where event.position > 0 {
                if let newest = self.newest[node.index], event.position <= newest {
                    world.fail("\(node.name) tells event \(event.position) after \(newest)")
                }
                self.newest[node.index] = event.position
            }
        }
    }

    func filesReplaced(of node: SimulatedNode, isCopy: Bool, in world: SimulatedWorld) throws {
        // Positions follow the clock, and leap with each file; here more files follow one another within seconds than in years.
        self.newest[node.index] = nil
    }
}
