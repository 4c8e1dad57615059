import Foundation
import Testing

/// Events across crashes of a real node.
@Suite(.timeLimit(.minutes(3))) struct EventTests {
    private struct Event: Decodable {
        var position: UInt64
        var type: String
        var recordId: String?
    }

    private func events(in path: String) throws -> [Event] {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
        // The last line may be incomplete.
        return try text.split(separator: "\n").filter { $0.hasSuffix("}") }.map {
            try JSONDecoder().decode(Event.self, from: Data($0.utf8))
        }
    }

    @Test("a watch that outlives kills of the node has every row once, at positions without a gap")
    func kills() async throws {
        let binary = try Binary()
        let data = binary.data()
        #expect(try await binary.run(["init", "--data", data, "--name", "desk"]).status == 0)
        var agent = try await Agent(binary, data: data)
        let log = binary.data("events.jsonl")
        let watch = try binary.makeProcess(["watch", "--data", data, "--json", "--log-file", log])
        watch.standardOutput = FileHandle.nullDevice
        watch.standardError = FileHandle.nullDevice
        try watch.run()
        defer { watch.terminate() }
        func insert(_ keys: Range<Int>) async throws {
            // A program that does not use the node writes one transaction for each row.
            let rows = keys.map { "INSERT INTO patients(id) VALUES ('k\($0)');" }.joined()
            let outcome = try await binary.sqlite3(data, rows)
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        // The watch gets no events before it is connected.
        var first = 0
        try await Binary.wait {
            first += 1
            _ = try await binary.sqlite3(data, "INSERT INTO patients(id) VALUES ('w\(first)');")
            return try self.events(in: log).contains { $0.recordId?.hasPrefix("w") == true }
        }
        // Fewer rows in all than one transaction tells of one by one (500): a node that is killed again and again may collect
        // them all at once.
        for round in 0..<4 {
            async let killed = agent.stop(SIGKILL)
            try await insert(round * 60..<round * 60 + 60)
            _ = await killed
            agent = try await Agent(binary, data: data)
            async let stopped = agent.stop(round.isMultiple(of: 2) ? SIGKILL : SIGTERM)
            try await insert(1_000 + round * 60..<1_000 + round * 60 + 60)
            _ = await stopped
            agent = try await Agent(binary, data: data)
        }
        let wanted = Set((0..<240).map { "k\($0)" } + (1_000..<1_240).map { "k\($0)" })
        try await Binary.wait { wanted.isSubset(of: Set(try self.events(in: log).compactMap(\.recordId))) }
        let events = try self.events(in: log)
        let start = try #require(events.first?.position)
        #expect(events.map(\.position) == (0..<UInt64(events.count)).map { start + $0 })
        let records = events.compactMap(\.recordId).filter { $0.hasPrefix("k") }
        #expect(records.count == wanted.count)
        #expect(Set(records) == wanted)
        #expect(!events.contains { $0.type == "resync_required" })
        _ = await agent.stop(SIGKILL)
        try binary.clean()
    }
}
