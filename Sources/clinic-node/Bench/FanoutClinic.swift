import ClinicSync
import Foundation
import Glibc

/// A clinic that grows: a host and a client in processes of their own, and further clients in processes of many.
final class FanoutClinic {
    /// The host's process.
    let host: NodeProcess
    /// A client's process, which a benchmark may stop for a while.
    let single: NodeProcess
    /// The database of the client at which a program writes; the first node of a shared process.
    private(set) var writer = ""
    /// The files of all other nodes.
    private(set) var watches: [FileWatch]
    private var crowds: [NodeProcess] = []
    private let files: BenchFiles
    private let nodesPerProcess: Int

    /// How long the nodes of a process may take to join and to connect.
    private static let patience = Duration.seconds(180)

    /// Starts the host and the single client.
    init(nodesPerProcess: Int, in files: BenchFiles) throws {
        try FanoutClinic.allowManyFiles()
        self.files = files
        self.nodesPerProcess = nodesPerProcess
        // The host stays the host, also on a machine that is late: the figures are about its process.
        let nodes = try NodeProcess.clinic(of: ["single"], options: ["--priority", "0"], in: files)
        (self.host, self.single) = (nodes[0], nodes[1])
        self.watches = try nodes.map { try FileWatch(path: $0.database) }
    }

    /// How many nodes the clinic has.
    var count: Int { self.watches.count + (self.writer.isEmpty ? 0 : 1) }

    /// Lets nodes join until the clinic has `count`, and returns when the host has all connections.
    func grow(to count: Int) throws {
        while self.count < count {
            let joining = min(count - self.count, self.nodesPerProcess)
            let code = try NodeProcess.output(
                of: ["invite", "--data", self.files.path("host"), "--uses", "\(joining)"],
                in: self.files.folder.path
            )
            let (first, folder) = (self.count, self.files.folder.path)
            let crowd = try NodeProcess(
                ["bench", "crowd", code, "--in", folder, "--first", "\(first)", "--count", "\(joining)"],
                directory: FanoutCrowd.directory(first, in: folder),
                within: FanoutClinic.patience
            )
            self.crowds.append(crowd)
            var databases = (first..<first + joining).map { FanoutCrowd.directory($0, in: folder) + "/clinic.db" }
            if self.writer.isEmpty { self.writer = databases.removeFirst() }
            self.watches += try databases.map(FileWatch.init(path:))
        }
        try NodeProcess.wait("\(count) nodes did not connect.", within: FanoutClinic.patience, pause: 500_000) {
            let text = try NodeProcess.output(
                of: ["status", "--data", self.files.path("host"), "--json"],
                in: self.files.folder.path
            )
            return text.contains("\"activeConnections\":\(count - 1)")
        }
    }

    /// Ends all nodes at once.
    func stop() {
        for process in self.crowds + [self.single, self.host] { process.stop(signal: SIGKILL) }
    }

    /// The processor time of all clients so far, in seconds.
    func clientSeconds() throws -> Double {
        try (self.crowds + [self.single]).reduce(0) { try $0 + $1.processorSeconds() }
    }

    /// A node has a dozen files and sockets, and the watch has four files for each node.
    private static func allowManyFiles() throws {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
