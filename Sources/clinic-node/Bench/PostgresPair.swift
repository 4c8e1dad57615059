import ClinicSync
import Foundation
import Glibc

/// Two servers of PostgreSQL, of which one follows a table of the other by logical replication.
final class PostgresPair {
    /// Where the newest PostgreSQL's programs are, as Debian has them; `nil` when it is not installed.
    static func programs() -> String? {
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        let newest = versions.compactMap { Int($0) }.max()
        guard let newest, FileManager.default.isExecutableFile(atPath: "\(root)/\(newest)/bin/postgres") else {
            return nil
        }
        return "\(root)/\(newest)/bin"
    }

    private static let ports = [5_432, 5_433]
    private static let account = "postgres"
    private static let columns = [
        "id", "fullName", "firstName", "lastName", "birthDate", "gender", "civilStatus", "contactNumber", "address",
        "bloodType", "createdAt", "updatedAt",
    ]

    private let programs: String
    private let folder: String
    private var servers: [pid_t] = []

    /// Starts the servers in a new folder, with a table as the clinic's and the same indexes.
    init(programs: String) throws {
        self.programs = programs
        self.folder =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("clinic-node-bench-postgres-\(getpid())").path
        try AtomicFile.makeDirectory(URL(fileURLWithPath: self.folder), mode: 0o700)
        do {
            try self.start()
        } catch {
            self.stop()
            throw error
        }
    }

    deinit { self.stop() }

    /// Ends the servers and removes their files.
    func stop() {
        for server in self.servers { ChildProcess.end(server, by: SIGINT) }
        self.servers = []
        // Files that cannot be removed are left to the system's clean-up of temporary files.
        _ = Result { try FileManager.default.removeItem(atPath: self.folder) }
    }

    /// Imports all rows in one transaction; seconds from its commit until the follower shows the last row.
    func importing(_ data: PatientRows) throws -> Double {
        let file = self.folder + "/rows"
        let lines = (0..<data.count).map { data.row($0).joined(separator: "\t") + "\n" }.joined()
        try Data(lines.utf8).write(to: URL(fileURLWithPath: file))
        let columns = PostgresPair.columns.map { "\"\($0)\"" }.joined(separator: ", ")
        _ = try self.query(0, "\\copy patients (\(columns)) from '\(file)'")
        let clock = ContinuousClock()
        let committed = clock.now
        let last = String(decoding: data.key(data.count - 1), as: UTF8.self)
        try NodeProcess.wait("PostgreSQL did not replicate the import.", within: .seconds(300), pause: 5_000) {
            try self.query(1, "SELECT 1 FROM patients WHERE id = '\(last)'") == "1"
        }
        return (clock.now - committed) / .seconds(1)
    }

    private func start() throws {
        // PostgreSQL refuses to run as root.
        if geteuid() == 0, let user = getpwnam(PostgresPair.account) {
            guard chown(self.folder, user.pointee.pw_uid, user.pointee.pw_gid) == 0 else {
                throw AtomicFile.failure(errno, doing: "give away", path: self.folder)
            }
        }
        for (index, port) in PostgresPair.ports.enumerated() {
            let data = "\(self.folder)/data\(index)"
            _ = try self.run("initdb", ["-D", data, "-A", "trust", "-U", PostgresPair.account, "--no-sync"])
            let (program, arguments) = self.command(
                "postgres",
                ["-D", data, "-k", self.folder, "-p", "\(port)", "-c", "listen_addresses=", "-c", "wal_level=logical"]
                    + ["-c", "max_wal_size=4GB"]
            )
            let log = "\(self.folder)/log\(index)"
            self.servers.append(try ChildProcess.spawn(program, arguments, output: "/dev/null", errors: log))
            try NodeProcess.wait("PostgreSQL did not start: look at \(log).") {
                (try? self.query(index, "SELECT 1")) == "1"
            }
            let columns = PostgresPair.columns.map { "\"\($0)\" TEXT" }.joined(separator: ", ")
            _ = try self.query(
                index,
                """
                CREATE TABLE patients (\(columns), PRIMARY KEY (id)); CREATE INDEX ON patients("fullName");
                CREATE INDEX ON patients("birthDate")
                """
            )
        }
        _ = try self.query(0, "CREATE PUBLICATION clinic FOR TABLE patients")
        let source = "host=\(self.folder) port=\(PostgresPair.ports[0]) user=\(PostgresPair.account) dbname=postgres"
        _ = try self.query(1, "CREATE SUBSCRIPTION clinic CONNECTION '\(source)' PUBLICATION clinic")
        try NodeProcess.wait("PostgreSQL's follower did not begin.") {
            try self.query(1, "SELECT srsubstate FROM pg_subscription_rel") == "r"
        }
    }

    private func query(_ server: Int, _ sql: String) throws -> String {
        try self.run(
            "psql",
            [
                "-h", self.folder, "-p", "\(PostgresPair.ports[server])", "-U", PostgresPair.account, "-d", "postgres",
                "-X",
            ]
                + ["-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", sql]
        )
    }

    private func run(_ program: String, _ arguments: [String]) throws -> String {
        let (program, arguments) = self.command(program, arguments)
        return try ChildProcess.output(of: program, arguments, in: self.folder)
    }

    /// The program as the account that may run it.
    private func command(_ program: String, _ arguments: [String]) -> (program: String, arguments: [String]) {
        let path = "\(self.programs)/\(program)"
        guard geteuid() == 0 else { return (path, arguments) }
        let account = PostgresPair.account
        return ("/usr/bin/setpriv", ["--reuid=\(account)", "--regid=\(account)", "--clear-groups", path] + arguments)
    }
}
