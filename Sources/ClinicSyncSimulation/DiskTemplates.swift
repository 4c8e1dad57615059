import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB

/// Disks of PCs whose nodes were started once and stopped.
///
/// A run that begins with such disks spends no time on making the files, which thousands of short runs need.
package final class DiskTemplates {
    private var disks: [NodeID: MemoryDisk] = [:]

    /// Makes an empty collection.
    package init() {}

    /// The disk of a PC; the same for all runs in which the PC's node has the same id.
    func disk(of index: Int, _ options: SimulationOptions) throws -> MemoryDisk {
        let id = SimulatedNode.id(index, options)
        if let disk = self.disks[id] { return disk }
        let node = try SimulatedNode(index: index, options: options)
        _ = try node.start()
        node.process?.reading.reader.close()
        try node.process?.writing.writer.close()
        try node.disk.database.close()
        self.disks[id] = node.disk.memory
        return node.disk.memory
    }

    /// The clinic's schema with few replicated tables.
    ///
    /// - Throws: an error when the manifest is not what is expected.
    static func schema() throws -> StoreSchema { try self.fewTables.get() }

    private static let fewTables = Result {
        let kept = ["patients", "patient_history", "users", "user_sessions"]
        var schema = StoreSchema.clinic
        let object = try JSONSerialization.jsonObject(with: Data(schema.manifest.utf8))
        guard var manifest = object as? [String: Any], let tables = manifest["tables"] as? [String: Any] else {
            throw CocoaError(.propertyListReadCorrupt)
        }
        manifest["tables"] = tables.filter { kept.contains($0.key) || $0.key.hasPrefix("clinicsync_") }
        let text = try JSONSerialization.data(withJSONObject: manifest, options: .sortedKeys)
        schema.manifest = String(decoding: text, as: UTF8.self)
        return schema
    }
}
