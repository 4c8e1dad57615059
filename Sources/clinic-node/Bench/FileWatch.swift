import ClinicSync
import Glibc

/// Watches a node's file until it shows a row.
///
/// Hundreds of files are watched at once on a machine whose nodes need the processor. So the watch looks at the header of the
/// write-ahead log's index, which is shared memory and changes with each commit, and asks SQLite only after a change.
final class FileWatch {
    /// Where the header of the index has its checksum, two numbers of four bytes.
    private static let checksumOffset = 40
    private static let mappedBytes = 4_096

    /// The file.
    let path: String
    private let find: ProgramStatement
    private let header: UnsafeMutableRawPointer
    private var seen: UInt64 = 0

    /// Opens a file that a node keeps open, and this process does not: to close a descriptor ends the locks of a process's
    /// connections.
    init(path: String) throws {
        self.path = path
        let descriptor = open(path + "-shm", O_RDONLY)
        guard descriptor >= 0 else { throw AtomicFile.failure(errno, doing: "open", path: path + "-shm") }
        let header = mmap(nil, FileWatch.mappedBytes, PROT_READ, MAP_SHARED, descriptor, 0)
        close(descriptor)
        guard let header, header != MAP_FAILED else {
            throw AtomicFile.failure(errno, doing: "map", path: path + "-shm")
        }
        self.header = header
        let connection = try ProgramConnection(path: path, synchronous: .normal)
        self.find = try connection.prepare("SELECT 1 FROM patients WHERE id = ?1")
    }

    deinit { munmap(self.header, FileWatch.mappedBytes) }

    /// Whether something was committed since the last call.
    func hasChanged() -> Bool {
        let now = self.header.loadUnaligned(fromByteOffset: FileWatch.checksumOffset, as: UInt64.self)
        defer { self.seen = now }
        return now != self.seen
    }

    /// Whether a program that reads the file finds the row.
    func shows(_ key: [UInt8]) throws -> Bool {
        try key.withUnsafeBytes { key in
            self.find.bind(1, text: key)
            defer { self.find.reset() }
            return try self.find.step()
        }
    }
}
