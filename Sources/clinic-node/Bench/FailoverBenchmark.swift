import ClinicSync
import Foundation
import Glibc

/// How long a clinic is without its host: four nodes, each a process of its own, whose host is killed or stopped.
///
/// The time ends when each remaining node has what all remaining nodes wrote after the host was gone. Then there is a
/// host, all nodes stream through it, and nothing waits.
struct FailoverBenchmark: Benchmark {
    static let name = "failover"

    /// How often the host is killed, and how often it is stopped in order.
    var rounds: Int

    /// Nodes of the clinic.
    private static let count = 4
    /// A look at the files every so many microseconds.
    private static let lookInterval: useconds_t = 2_000

    /// How a host goes.
    private enum End: String {
        case killed = "kill -9"
        case stopped = "SIGTERM"
    }

    /// A node that comes and goes.
    private final class Member {
        let directory: String
        var process: NodeProcess

        init(_ directory: String, _ process: NodeProcess) {
            self.directory = directory
            self.process = process
        }
    }

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let names = (1...FailoverBenchmark.count).map { "pc\($0)" }
        let processes = try NodeProcess.start(names, in: files)
        let members = zip(names, processes).map { Member(files.path($0), $1) }
        defer { for member in members { member.process.stop() } }
        var baseline: [Double] = []
        var times: [End: [Double]] = [:]
        for round in 0..<self.rounds {
            for end in [End.killed, .stopped] {
                try self.settle(members, files)
                baseline.append(try self.exchange(members, "p\(round)\(end.rawValue)"))
                let host = try self.host(of: members, files)
                let others = members.filter { $0 !== host }
                let start = ContinuousClock.now
                kill(host.process.processID, end == .killed ? SIGKILL : SIGTERM)
                try self.exchange(others, "h\(round)\(end.rawValue)")
                times[end, default: []].append((ContinuousClock.now - start) / .milliseconds(1))
                host.process.stop()
                host.process = try NodeProcess(running: host.directory)
            }
        }
        return [End.killed, .stopped].flatMap { end in
            self.measurements(end, times[end] ?? [], beside: baseline)
        }
    }

    private func measurements(_ end: End, _ samples: [Double], beside baseline: [Double]) -> [Measurement] {
        let name = "\(end.rawValue) of the host to all others having what all others wrote since"
        let goals: (Goal, Goal) =
            end == .killed ? (.valueAtMost(2_000), .valueAtMost(3_000)) : (.valueAtMost(500), .none)
        return [
            Measurement("\(name), median", unit: "ms", quantile: 0.5, of: samples, beside: baseline, goal: goals.0),
            Measurement("\(name), largest", unit: "ms", quantile: 1, of: samples, beside: baseline, goal: goals.1),
        ]
    }

    /// Waits until there is one host with all others connected and nothing on its way.
    private func settle(_ members: [Member], _ files: BenchFiles) throws {
        try NodeProcess.wait("The benchmark's nodes did not find a host.") {
            let texts = try members.map { try self.status(of: $0, files) }
            let hosts = texts.filter { self.isHost($0) }
            let isComplete = hosts.first?.contains("\"activeConnections\":\(members.count - 1)") == true
            let areCaughtUp = texts.allSatisfy { $0.contains("\"pendingChanges\":0") }
            return hosts.count == 1 && isComplete && areCaughtUp
        }
        // The host names its successors with its next heartbeat.
        usleep(1_000_000)
    }

    private func host(of members: [Member], _ files: BenchFiles) throws -> Member {
        for member in members where self.isHost(try self.status(of: member, files)) { return member }
        throw ClinicSyncError(.notReachable, "The benchmark's nodes lost their host: run the benchmark again.")
    }

    private func status(of member: Member, _ files: BenchFiles) throws -> String {
        try NodeProcess.output(of: ["status", "--data", member.directory, "--json"], in: files.folder.path)
    }

    private func isHost(_ status: String) -> Bool {
        do {
            let object = try JSONSerialization.jsonObject(with: Data(status.utf8)) as? [String: Any]
            return object?["role"] as? String == "host"
        } catch {
            return false
        }
    }

    /// Writes a row on each PC and waits until each has all of them.
    ///
    /// - Returns: Milliseconds.
    @discardableResult
    private func exchange(_ members: [Member], _ name: String) throws -> Double {
        let programs = try members.map { try ProgramConnection(path: $0.process.database, synchronous: .normal) }
        let start = ContinuousClock.now
        for program in programs { try program.execute("INSERT INTO patients(fullName) VALUES ('\(name)')") }
        let query = "SELECT count(*) FROM patients WHERE fullName = '\(name)'"
        while try programs.contains(where: { try $0.integer(query) < members.count }) {
            guard ContinuousClock.now - start < .seconds(30) else {
                throw ClinicSyncError(.timeout, "The benchmark's nodes did not exchange what was written.")
            }
            usleep(FailoverBenchmark.lookInterval)
        }
        return (ContinuousClock.now - start) / .milliseconds(1)
    }
}
