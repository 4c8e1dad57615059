import ClinicSync
import ClinicSyncTestKit
import Foundation
import GRDB
import Testing

@Suite("Notices and probes among real nodes", .timeLimit(.minutes(3)), .serialized)
struct PeopleTests {
    /// The ids of all notices that a node sent to its programs, read from its file.
    private func told(_ node: TestNode) throws -> [String] {
        try node.database.read { db in
            try String.fetchAll(db, sql: "SELECT pk FROM clinicsync_event WHERE type = 'notice' ORDER BY position")
        }
    }

    @Test("a notice reaches programs on all nodes, on one, or those of a user, and a node that was off")
    func notices() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (host, second, third) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            let name = try await second.status().node.name
            try await clinic.wait(for: "the list of members") {
                try await host.nodes().nodes.contains { $0.name == name }
            }
            try host.database.sql("INSERT INTO users (id, username) VALUES ('u1', 'ana')")
            let events = try await second.events(categories: ["system", "user"])
            try await third.stop()
            let all = try await host.notify("Water is off")
            let one = try await host.notify("Your printer is ready", node: name)
            let user = try await host.notify("Please call the laboratory", user: "ana")
            try await clinic.wait(for: "the second node") { try self.told(second) == [all, one, user] }
            #expect(try self.told(host) == [all, user])
            var seen: [NodeEvent] = []
            for await event in events where event.type == "notice" {
                seen.append(event)
                if seen.count == 3 { break }
            }
            #expect(seen.map(\.recordId) == [all, one, user])
            #expect(seen.map(\.category) == ["system", "system", "user"])
            #expect(seen.map(\.userId) == [nil, nil, "u1"])
            try await third.start()
            try await clinic.wait(for: "the node that was off") { try self.told(third) == [all, user] }
            try await clinic.converge()
            try await third.restart()
            #expect(try self.told(third) == [all, user])
        }
    }

    @Test("a notice to nobody, or of no text, is refused")
    func refusals() async throws {
        try await TestClinic.start(nodes: 1) { clinic in
            let host = clinic.nodes[0]
            for (text, node, user, code) in [
                ("", nil, nil, .usage), ("a\nb", nil, nil, .usage),
                (String(repeating: "x", count: 1_001), nil, nil, .usage),
                ("x", "nobody", nil, .usage), ("x", nil, "nobody", .refused), ("x", "node0", "ana", .usage),
            ] as [(String, String?, String?, ClinicSyncError.Code)] {
                let error = await #expect(throws: ClinicSyncError.self) {
                    try await host.notify(text, node: node, user: user)
                }
                #expect(error?.code == code, "\(text.prefix(10))")
            }
        }
    }

    @Test("a probe is answered by all connected nodes, whoever asks, and names who does not")
    func probe() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            var names: [String: String] = [:]
            for node in clinic.nodes { names[try await node.status().node.id] = node.name }
            try await clinic.wait(for: "the lists of members") {
                for node in clinic.nodes where try await node.nodes().nodes.count < 3 { return false }
                return true
            }
            for node in clinic.nodes {
                let own = try await node.status().node.id
                let summary = try await node.probe(timeout: .seconds(20))
                #expect(summary.complete)
                #expect(Set(summary.nodes.map(\.id)) == Set(names.keys).subtracting([own]))
                #expect(summary.missing.isEmpty)
                for answer in summary.nodes {
                    #expect((0...answer.roundTripMilliseconds).contains(answer.milliseconds))
                    #expect(answer.roundTripMilliseconds > 0)
                }
            }
            // Answers are messages: as rows they would reach every node.
            for node in clinic.nodes {
                #expect(try node.database.integer("SELECT count(*) FROM clinicsync_probe_answer") == 0)
            }
            // The node does not wait for a node that is off.
            let third = clinic.nodes[2]
            try await third.stop()
            try await clinic.wait(for: "the host to know") {
                try await clinic.nodes[0].status().activeConnections == 1
            }
            let summary = try await clinic.nodes[1].probe(timeout: .seconds(20))
            #expect(summary.complete)
            #expect(summary.nodes.count == 1)
        }
    }

    @Test("a node alone has nobody to wait for")
    func alone() async throws {
        try await TestClinic.start(nodes: 1) { clinic in
            let summary = try await clinic.nodes[0].probe(timeout: .seconds(20))
            #expect(summary.complete)
            #expect(summary.nodes.isEmpty)
        }
    }
}
