import ClinicSyncModel
import ClinicSyncStorage

/// What people and programs ask a node for can be read, whatever a member wrote.
final class PeopleChecker: SimulationChecker {
    func finished(_ world: SimulatedWorld) throws {
        for node in world.members {
            guard let reader = node.process?.reading.reader else { continue }
            do {
                try self.look(reader)
            } catch {
                world.fail("\(node.name) cannot be asked: \(error)")
            }
        }
    }

    private func look(_ reader: ReplicaReader) throws {
        for entry in try reader.journal(openOnly: false) {
            _ = try reader.journalEntry(entry.id)
            guard case .text(let key) = entry.row.key, entry.row.table == "patients" else { continue }
            // A damaged member's keys need not have a path.
            do { _ = try reader.report("patients/\(String(decoding: key, as: UTF8.self))") } catch is MalformedPath {}
        }
        for key in EnteredWorkload.shared { _ = try reader.report("patients/\(key)") }
        _ = try reader.events(after: 0, limit: 1_000)
        _ = try reader.memberProgress()
        _ = try reader.summary()
        _ = try reader.clinicDigests()
        _ = try reader.realDigests(table: nil)
    }
}
