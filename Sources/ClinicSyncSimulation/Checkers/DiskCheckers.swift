import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// A power cut never damages a file.
final class DiskChecker: SimulationChecker {
    func powerLost(_ node: SimulatedNode, in world: SimulatedWorld) throws {
        if let damage = node.disk.damage() { world.fail("\(node.name)'s file is damaged: \(damage)") }
    }
}

/// A power cut never makes a node take its own file for a copy or a backup.
final class IdentityChecker: SimulationChecker {
    func started(_ node: SimulatedNode, _ state: StoreState, in world: SimulatedWorld) throws {
        guard let rebirth = node.process?.writing.writer.rebirth else { return }
        world.fail("\(node.name) goes on as another: \(rebirth.rawValue)")
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
}
