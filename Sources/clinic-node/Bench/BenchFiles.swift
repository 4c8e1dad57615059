import ClinicSync
import ClinicSyncClinic
import ClinicSyncModel
import ClinicSyncStorage
import Foundation

/// The files of a benchmark: fresh databases, with and without our part.
struct BenchFiles {
    /// Where the files are.
    let folder: URL
    /// The author of the batches that nodes of the benchmark collect.
    let origin: Origin
    /// Another node, which applies their batches.
    private let peerOrigin: Origin

    private var captured: URL { self.folder.appendingPathComponent("captured.template") }
    private var plain: URL { self.folder.appendingPathComponent("plain.template") }

    /// Runs `body` with files in the system's folder for temporary ones, and removes them.
    static func with<Result>(_ body: (BenchFiles) throws -> Result) throws -> Result {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("clinic-node-bench-\(ProcessInfo.processInfo.processIdentifier)")
        try AtomicFile.makeDirectory(folder, mode: 0o700)
        // A file that cannot be removed is left to the system's clean-up of temporary files.
        defer { _ = Swift.Result { try FileManager.default.removeItem(at: folder) } }
        var generator = SystemRandomNumberGenerator()
        let origins = (Origin(node: NodeID(using: &generator)), Origin(node: NodeID(using: &generator)))
        let files = BenchFiles(folder: folder, origin: origins.0, peerOrigin: origins.1)
        try files.makeTemplates()
        return try body(files)
    }

    /// A path in the folder.
    func path(_ name: String) -> String { self.folder.appendingPathComponent(name).path }

    /// A fresh database of a node, triggers and all.
    func captured(_ name: String) throws -> String { try self.copy(self.captured, to: name) }

    /// A fresh database with the same tables and indexes, but without the node's tables and triggers.
    func plain(_ name: String) throws -> String { try self.copy(self.plain, to: name) }

    /// The store of a node over the file at `path`.
    func writer(of path: String) throws -> ReplicaWriter { try self.writer(of: path, origin: self.origin) }

    /// The store of another node over a fresh file.
    func peer(_ name: String) throws -> ReplicaWriter {
        try self.remove(name)
        try SQLiteReplicaStore.create(at: URL(fileURLWithPath: self.path(name)), origin: self.peerOrigin)
        return try self.writer(of: self.path(name), origin: self.peerOrigin)
    }

    private func writer(of path: String, origin: Origin) throws -> ReplicaWriter {
        try ReplicaWriter(
            database: StoreDatabase.open(path: path),
            origin: origin,
            storeExtension: ClinicExtension()
        ) { Int64(Date().timeIntervalSince1970 * 1_000) }
    }

    /// The size of the file at `path` in MB, after `sql` and with an empty WAL.
    static func megabytes(_ path: String, after sql: String) throws -> Double {
        let connection = try ProgramConnection(path: path, synchronous: .normal)
        try connection.execute(sql)
        try connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return Double(attributes[.size] as? Int ?? 0) / 1_000_000
    }

    private func copy(_ template: URL, to name: String) throws -> String {
        try self.remove(name)
        let path = self.path(name)
        try FileManager.default.copyItem(at: template, to: URL(fileURLWithPath: path))
        return path
    }

    private func remove(_ name: String) throws {
        for path in ["", "-wal", "-shm"].map({ self.path(name + $0) })
        where FileManager.default.fileExists(atPath: path) {
            try FileManager.default.removeItem(atPath: path)
        }
    }

    private func makeTemplates() throws {
        try SQLiteReplicaStore.create(at: self.captured, origin: self.origin)
        let source = try ProgramConnection(path: self.captured.path, synchronous: .normal)
        let statements = try source.texts(
            """
            SELECT sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL
            AND name NOT LIKE 'clinicsync_%' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'grdb_%'
            ORDER BY type DESC
            """
        )
        let plain = try ProgramConnection(path: self.plain.path, synchronous: .normal)
        for statement in statements { try plain.execute(statement) }
        try plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        try source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    }
}

/// Runs `body` and returns how many seconds it took.
func seconds(_ body: () throws -> Void) rethrows -> Double {
    let clock = ContinuousClock()
    let start = clock.now
    try body()
    return (clock.now - start) / .seconds(1)
}
