import ClinicSync
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("Large imports by other processes", .timeLimit(.minutes(3)), .serialized)
struct BulkTests {
    /// A Python program that imports `count` patients in one transaction and prints the time of the commit.
    private func importing(_ count: Int) -> String {
        """
        rows = ((f"imp{i:07}", f"Patient {i}", "1980-01-01", "F", "09171234567") for i in range(\(count)))
        with db:
            db.executemany("INSERT INTO patients(id, fullName, birthDate, gender, contactNumber) VALUES (?,?,?,?,?)", rows)
        """
    }

    /// Commits one row after the other until the file `stop` exists.
    ///
    /// Prints the longest wait for the lock, the longest rest of a commit, and the number of rows.
    private func clerk(_ stop: String) -> String {
        """
        import os
        lock, rest, n = 0.0, 0.0, 0
        db.isolation_level = None
        db.execute("PRAGMA synchronous = NORMAL")
        while not os.path.exists("\(stop)"):
            begun = time.perf_counter()
            db.execute("BEGIN IMMEDIATE")
            locked = time.perf_counter()
            db.execute("INSERT INTO users(id, username) VALUES (?1, ?1)", (f"clerk{n}",))
            db.execute("COMMIT")
            lock, rest, n = max(lock, locked - begun), max(rest, time.perf_counter() - locked), n + 1
            time.sleep(0.005)
        print(lock, rest, n)
        """
    }

    @Test("80 000 rows of one transaction arrive at once, while the node keeps no program waiting")
    func largeImport() async throws {
        // Comparisons come often, so that some happen during the collection of the batch.
        try await TestClinic.start(nodes: 2, reconcileEvery: .seconds(1)) { clinic in
            let (writer, reader) = (clinic.nodes[1].database, clinic.host.database)
            let total = 80_000
            try await Writer.python(writer.path, self.importing(total))
            let stop = clinic.nodes[1].directory.appending(path: "stop").path
            async let clerk: String = Writer.python(writer.path, self.clerk(stop))
            try await clinic.wait(for: "the marks to be collected", within: .seconds(100)) {
                try #require(try reader.integer("SELECT count(*) FROM patients") == 0, "a part was seen")
                return try writer.integer("SELECT count(*) FROM clinicsync_dirty WHERE pk LIKE 'imp%'") == 0
            }
            try Data().write(to: URL(filePath: stop))
            let figures = try await clerk.split(separator: " ").compactMap { Double($0) }
            let longest = try #require(figures.first)
            print("another writer during the collection of \(total) rows, longest lock and rest in s, rows: \(figures)")
            #expect(longest < 1)
            #expect(try #require(figures.last) > 10)
            try await clinic.wait(for: "the import", within: .seconds(100)) {
                let count = try reader.integer("SELECT count(*) FROM patients")
                try #require(count == 0 || count == total, "a part of a transaction was seen")
                return count == total
            }
            try await clinic.converge(within: .seconds(60))
        }
    }

    @Test("a node killed in the middle of collecting an import sends everything once after its restart")
    func killedWhileCollecting() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let remote = try await BinaryNode.join(clinic, name: "remote")
            let total = 30_000
            try await Writer.python(remote.database.path, self.importing(total))
            try await clinic.wait(for: "the collection to be under way") {
                let left = try remote.database.integer("SELECT count(*) FROM clinicsync_dirty") ?? 0
                return left > 0 && left < total - 1_000
            }
            try await remote.kill()
            let left = try remote.database.integer("SELECT count(*) FROM clinicsync_dirty") ?? 0
            #expect(left > 0, "the collection was over before the kill")
            #expect(try clinic.host.database.integer("SELECT count(*) FROM patients") == 0)
            try await remote.run()
            try await clinic.wait(for: "the import", within: .seconds(60)) {
                let count = try clinic.nodes[1].database.integer("SELECT count(*) FROM patients")
                #expect(count == 0 || count == total, "a part of a transaction was seen")
                return count == total
            }
            try await clinic.converge(within: .seconds(60))
            #expect(try await clinic.host.sync().result == "equal")
            #expect(try remote.database.dump() == clinic.host.database.dump())
            let batches = try clinic.host.database.integer(
                // A node's row about itself is a batch too, of one chunk.
                "SELECT count(*) FROM (SELECT DISTINCT origin, sequence FROM clinicsync_log WHERE chunk > 0)"
            )
            #expect(batches == 1)
            #expect(try await remote.terminate() == 0)
        }
    }

    @Test("a node that stands still is found dead within seconds, delays nobody, and catches up when it goes on")
    func frozenNode() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let remote = try await BinaryNode.join(clinic, name: "frozen")
            try await clinic.wait(for: "the third node") { try await clinic.host.status().activeConnections == 2 }
            var events = try await clinic.host.events(categories: ["system"]).makeAsyncIterator()
            let clock = ContinuousClock()
            let frozenAt = clock.now
            remote.signal(SIGSTOP)
            // The other nodes continue at once, long before the silence is noticed.
            for number in 0..<50 {
                try clinic.nodes[1].database.sql("INSERT INTO patients(id) VALUES (?)", "p\(number)")
            }
            try await clinic.converge(within: .seconds(10))
            let othersTook = clock.now - frozenAt
            var event = await events.next()
            while let other = event, other.type != "peer_lost" { event = await events.next() }
            let lostAfter = clock.now - frozenAt
            print("others were equal after \(othersTook), the frozen node was found dead after \(lostAfter)")
            #expect(event?.details?["peer"] == remote.id)
            #expect(othersTook < .seconds(1.5))
            #expect(lostAfter > .seconds(1) && lostAfter < .seconds(4))
            remote.signal(SIGCONT)
            try await clinic.wait(for: "the return") {
                try remote.database.integer("SELECT count(*) FROM patients") == 50
            }
            #expect(try await remote.terminate() == 0)
        }
    }
}
