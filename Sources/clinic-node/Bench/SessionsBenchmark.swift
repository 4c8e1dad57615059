import ClinicSync
import ClinicSyncClinic
import Foundation
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// How soon a forced login on one PC ends the user's session on another.
///
/// The end is the event at a program of the other PC. A host and two clients run as processes; the user changes PCs again
/// and again.
struct SessionsBenchmark: Benchmark {
    static let name = "sessions"

    /// Logins.
    var logins: Int

    private static let password = "a password of the benchmark"
    private static let user = "bench"

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let names = ["front", "lab"]
        let nodes = try NodeProcess.clinic(of: names, in: files)
        defer { for node in nodes.reversed() { node.stop() } }
        let hash = try PasswordHash.make(SessionsBenchmark.password)
        let program = try ProgramConnection(path: nodes[1].database, synchronous: .full)
        try program.execute(
            "INSERT INTO users(id, username, password, role) VALUES ('bench', '\(SessionsBenchmark.user)', '\(hash)', 'doctor')"
        )
        for node in nodes[1...] {
            let other = try ProgramConnection(path: node.database, synchronous: .full)
            try NodeProcess.wait("The user did not reach all nodes.") {
                try other.integer("SELECT count(*) FROM users WHERE id = 'bench'") == 1
            }
        }
        let receivers = try names.map { name in
            try EventReceiver(directory: files.path(name), filter: #""categories":["user"]"#) {
                $0.type == "session_ended"
            }
        }
        defer { for receiver in receivers { receiver.stop() } }
        let clients = try names.map { name in
            try LocalAPIClient(directory: NodeDirectory(url: URL(fileURLWithPath: files.path(name))))
        }
        var session = try self.logIn(clients[0]).session.id
        var (checks, answers, ends, decided): ([Double], [Double], [Double], [Double]) = ([], [], [], [])
        for login in 1...self.logins {
            let place = login % 2
            let before = ContinuousClock.now
            _ = try PasswordHash.check(SessionsBenchmark.password, against: hash)
            checks.append((ContinuousClock.now - before) / .milliseconds(1))
            let start = ContinuousClock.now
            let grant = try self.logIn(clients[place])
            answers.append((ContinuousClock.now - start) / .milliseconds(1))
            let arrival = try receivers[1 - place].wait(for: session)
            ends.append((arrival - start) / .milliseconds(1))
            decided.append(try SessionsBenchmark.milliseconds(from: grant.session.loginTime, to: arrival))
            session = grant.session.id
        }
        return SessionsBenchmark.measurements(checks, answers, ends, decided)
    }

    /// From a login's time, taken when the password had been checked, to an arrival; all processes have one clock.
    private static func milliseconds(from loginTime: String, to arrival: ContinuousClock.Instant) throws -> Double {
        guard let login = UTCTimestamp(loginTime) else {
            throw ClinicSyncError(.storage, "A login has no time: run the benchmark again.")
        }
        let ago = (ContinuousClock.now - arrival) / .milliseconds(1)
        return Date().timeIntervalSince1970 * 1_000 - ago - Double(login.milliseconds)
    }

    private func logIn(_ client: LocalAPIClient) throws -> LoginGrant {
        let input = LoginInput(
            username: SessionsBenchmark.user,
            password: SessionsBenchmark.password,
            force: true
        )
        let body = try APICoding.encode(input)
        let promise = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: [UInt8].self)
        promise.completeWithTask {
            try await client.send(.POST, "/v1/sessions", body: body, timeout: .seconds(30))
        }
        return try APICoding.decode(LoginGrant.self, from: try promise.futureResult.wait())
    }

    private static func measurements(
        _ checks: [Double],
        _ answers: [Double],
        _ ends: [Double],
        _ decided: [Double]
    ) -> [Measurement] {
        [
            Measurement(
                "forced login to session_ended at the other PC's program, median",
                unit: "ms",
                quantile: 0.5,
                of: ends,
                beside: checks
            ),
            Measurement(
                "the same from when the password was checked, median",
                unit: "ms",
                quantile: 0.5,
                of: decided,
                goal: .valueAtMost(50)
            ),
            Measurement(
                "the same from when the password was checked, p99",
                unit: "ms",
                quantile: 0.99,
                of: decided
            ),
            Measurement("forced login to its answer, median", unit: "ms", quantile: 0.5, of: answers, beside: checks),
        ]
    }
}
