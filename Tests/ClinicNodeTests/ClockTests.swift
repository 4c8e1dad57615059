import Foundation
import Testing

/// Real processes with wrong clocks: the writes of programs, and the stamps that the node makes.
@Suite(.timeLimit(.minutes(3)), .serialized, .enabled(if: FakeClock.library != nil, "there is no C compiler"))
struct ClockTests {
    /// The PC with the wrong clock follows the host, because the host's time is the clinic's time.
    private static let neverHost = ["--priority", "0"]

    /// Runs SQL in a database, like a program on a PC with that clock.
    private func sql(_ binary: Binary, _ data: String, _ sql: String) async throws -> String {
        let outcome = try await binary.sqlite3(data, sql)
        try #require(outcome.status == 0, "\(outcome.errors)")
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Lets twice the time pass that counts as the same moment: stamps less than half a second off are left as they are.
    private func moment() async throws {
        let begun = self.now
        try await Binary.wait { self.now > begun + 1_000 }
    }

    /// Waits until the node of `data` has collected what programs wrote.
    private func collected(_ binary: Binary, _ data: String) async throws {
        try await Binary.wait { try await self.sql(binary, data, "SELECT count(*) FROM clinicsync_dirty") == "0" }
    }

    private func name(_ binary: Binary, _ data: String, of patient: String) async throws -> String {
        try await self.sql(binary, data, "SELECT fullName FROM patients WHERE id = '\(patient)'")
    }

    /// The stamp of the newest version of any row, in milliseconds.
    private func largestStamp(_ binary: Binary, _ data: String) async throws -> Int64 {
        let text = try await self.sql(
            binary,
            data,
            "SELECT max(timestamp) >> 16 FROM clinicsync_origin UNION SELECT max(timestamp) >> 16 FROM clinicsync_row"
        )
        return try #require(text.split(separator: "\n").compactMap { Int64($0) }.max())
    }

    private var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

    /// A host and a client that both know the patients p1 and p2, both stopped; the host listens where the client knows it.
    private func pair(_ binary: Binary) async throws -> (host: String, away: String, listen: [String]) {
        let (host, away) = (binary.data("host"), binary.data("away"))
        // The system gives the ports from 32768 on to others.
        let listen = ["--listen", "127.0.0.1:\(Int.random(in: 20_000..<32_000))"]
        #expect(try await binary.run(["init", "--data", host]).status == 0)
        let hostAgent = try await Agent(binary, data: host, listen)
        let code = try await binary.run(["invite", "--data", host]).output.trimmingCharacters(in: .newlines)
        #expect(try await binary.run(["join", code, "--data", away]).status == 0)
        let awayAgent = try await Agent(binary, data: away, Self.neverHost)
        _ = try await self.sql(binary, host, "INSERT INTO patients(id, fullName) VALUES ('p1', 'Ana'), ('p2', 'Ben')")
        try await Binary.wait { try await self.name(binary, away, of: "p2") == "Ben" }
        #expect(await awayAgent.stop() == 0)
        #expect(await hostAgent.stop() == 0)
        return (host, away, listen)
    }

    @Test(
        "of an edit made alone with a wrong clock and one made elsewhere the truly later wins",
        arguments: [240, -30]
    )
    func comesBackWrong(hours: Int) async throws {
        let binary = try Binary()
        let wrong = binary.with(try FakeClock.environment(hours: hours))
        let (host, away, listen) = try await self.pair(binary)
        try await self.moment()
        // The host does not run. Its edit of p1 is truly the earlier one, and its edit of p2 the later one.
        _ = try await self.sql(binary, host, "UPDATE patients SET fullName = 'Host' WHERE id = 'p1'")
        try await self.moment()
        let awayAgent = try await Agent(wrong, data: away, Self.neverHost)
        _ = try await self.sql(wrong, away, "UPDATE patients SET fullName = 'Away'")
        try await self.collected(wrong, away)
        try await self.moment()
        _ = try await self.sql(binary, host, "UPDATE patients SET fullName = 'Host' WHERE id = 'p2'")
        let hostAgent = try await Agent(binary, data: host, listen)
        for data in [host, away] {
            try await Binary.wait { try await self.name(binary, data, of: "p1") == "Away" }
            try await Binary.wait { try await self.name(binary, data, of: "p2") == "Host" }
        }
        #expect(try await binary.run(["sync", "--data", host]).status == 0)
        #expect(try await self.largestStamp(binary, host) < self.now + 1_000)
        // While the PC is connected, its stamps carry the clinic's time.
        _ = try await self.sql(wrong, away, "INSERT INTO patients(id) VALUES ('p3')")
        try await Binary.wait { try await self.sql(binary, host, "SELECT count(*) FROM patients") == "3" }
        let stamp = try await self.sql(binary, host, "SELECT timestamp >> 16 FROM clinicsync_row WHERE pk = 'p3'")
        #expect(abs(try #require(Int64(stamp)) - self.now) < 30_000)
        for agent in [awayAgent, hostAgent] { #expect(await agent.stop() == 0) }
        try binary.clean()
    }

    @Test(
        "a year ahead or behind while alone, and set right before the return: nothing stays in the future",
        arguments: [8_760, -8_760]
    )
    func setRight(hours: Int) async throws {
        let binary = try Binary()
        let wrong = binary.with(try FakeClock.environment(hours: hours))
        let (host, away, listen) = try await self.pair(binary)
        let alone = try await Agent(wrong, data: away, Self.neverHost)
        _ = try await self.sql(wrong, away, "INSERT INTO patients(id, fullName) VALUES ('p3', 'Away')")
        try await self.collected(wrong, away)
        #expect(await alone.stop() == 0)
        let hostAgent = try await Agent(binary, data: host, listen)
        let awayAgent = try await Agent(binary, data: away, Self.neverHost)
        try await Binary.wait { try await self.sql(binary, host, "SELECT count(*) FROM patients") == "3" }
        let stamp = "SELECT timestamp >> 16 FROM clinicsync_row WHERE pk = 'p3'"
        for data in [host, away] {
            let milliseconds = try #require(Int64(try await self.sql(binary, data, stamp)))
            #expect(abs(milliseconds - self.now) < 120_000)
        }
        // An edit made now on another PC wins, and so does the edit after it.
        _ = try await self.sql(binary, host, "UPDATE patients SET fullName = 'Now' WHERE id = 'p3'")
        try await Binary.wait {
            try await self.sql(binary, away, "SELECT fullName FROM patients WHERE id = 'p3'") == "Now"
        }
        #expect(try await binary.run(["sync", "--data", away]).status == 0)
        for agent in [awayAgent, hostAgent] { #expect(await agent.stop() == 0) }
        try binary.clean()
    }
}

/// Starts processes that see another time.
///
/// The loader loads a few lines of C before the C library. libfaketime does not work: a Swift program that is started
/// with it gets no arguments (seen with 0.9.10 and Swift 6.3).
enum FakeClock {
    private static let source = """
        #define _GNU_SOURCE
        #include <stdlib.h>
        #include <sys/syscall.h>
        #include <sys/time.h>
        #include <time.h>
        #include <unistd.h>
        static long shift(void) { const char *text = getenv("CLOCK_SHIFT_SECONDS"); return text ? atol(text) : 0; }
        int clock_gettime(clockid_t clock, struct timespec *now) {
            int result = syscall(SYS_clock_gettime, clock, now);
            if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
            return result;
        }
        int gettimeofday(struct timeval *restrict now, void *restrict zone) {
            struct timespec exact;
            clock_gettime(CLOCK_REALTIME, &exact);
            now->tv_sec = exact.tv_sec;
            now->tv_usec = exact.tv_nsec / 1000;
            return 0;
        }
        time_t time(time_t *now) {
            struct timespec exact;
            clock_gettime(CLOCK_REALTIME, &exact);
            if (now) *now = exact.tv_sec;
            return exact.tv_sec;
        }

        """

    /// The compiled library; `nil` where there is no C compiler.
    static let library: String? = {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("clock-" + UUID().uuidString)
        let (source, library) = (folder.appendingPathComponent("clock.c"), folder.appendingPathComponent("clock.so"))
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Data(Self.source.utf8).write(to: source)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["cc", "-shared", "-fPIC", "-O1", "-o", library.path, source.path]
            try process.run()
            process.waitUntilExit()
            return process.terminationStatus == 0 ? library.path : nil
        } catch {
            return nil
        }
    }()

    /// The environment of a process with a wrong wall clock; its timers are right.
    static func environment(hours: Int) throws -> [String: String] {
        ["LD_PRELOAD": try #require(self.library), "CLOCK_SHIFT_SECONDS": String(hours * 3_600)]
    }
}
