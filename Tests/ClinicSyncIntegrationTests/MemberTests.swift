import ClinicSync
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("The list of members of real nodes", .timeLimit(.minutes(3)), .serialized)
struct MemberTests {
    private func member(_ name: String, _ node: TestNode) async throws -> NodesSummary.Node? {
        try await node.nodes().nodes.first { $0.name == name }
    }

    private func nameInFile(_ node: TestNode) throws -> String? {
        let url = node.directory.appending(path: "identity/identity.json")
        return (try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])?["nodeName"] as? String
    }

    @Test("a node that was off when it was renamed takes its new name over when it is back")
    func renameWhileOff() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (host, other, tablet) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            let old = try await tablet.status().node
            try await clinic.wait(for: "the list") { try await self.member(old.name, host) != nil }
            try await tablet.stop()
            try await host.rename(old.name, to: "Laboratory")
            try await clinic.wait(for: "the others to know") { try await self.member("Laboratory", other) != nil }
            #expect(try self.nameInFile(tablet) == old.name)
            try await tablet.start()
            try await clinic.wait(for: "the node to know") {
                try await tablet.status().node.name == "Laboratory"
            }
            #expect(try self.nameInFile(tablet) == "Laboratory")
            try await clinic.wait(for: "the host's status") {
                try await host.status().peers.first { $0.id == old.id }?.name == "Laboratory"
            }
            #expect(try await self.member("Laboratory", host)?.id == old.id)
            try await tablet.restart()
            #expect(try await tablet.status().node.name == "Laboratory")
        }
    }

    @Test("a node renames itself, and names that are taken, empty, or no names are refused")
    func renameItself() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let (host, client) = (clinic.nodes[0], clinic.nodes[1])
            let (first, second) = (try await host.status().node, try await client.status().node)
            try await clinic.wait(for: "the list") { try await self.member(first.name, client) != nil }
            for name in ["", " ", "a\u{7}b", String(repeating: "x", count: 65)] {
                let error = await #expect(throws: ClinicSyncError.self) { try await client.rename(second.id, to: name) }
                #expect(error?.code == .usage)
            }
            let taken = await #expect(throws: ClinicSyncError.self) {
                try await client.rename(second.id, to: first.name.uppercased())
            }
            #expect(taken?.code == .refused)
            try await client.rename(second.id, to: "Tablet")
            try await clinic.wait(for: "the node to know") { try await client.status().node.name == "Tablet" }
            try await clinic.wait(for: "the host to know") { try await self.member("Tablet", host)?.id == second.id }
            #expect(try self.nameInFile(client) == "Tablet")
        }
    }

    @Test("a member that is off stays listed, with what is known of it, also when the node was started again since")
    func membersThatAreOff() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (host, other, tablet) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            let name = try await tablet.status().node.name
            try await clinic.converge()
            for node in clinic.nodes {
                try await clinic.wait(for: "the lists") { try await node.nodes().nodes.count == 3 }
            }
            // The files are equal before the host knows it.
            try await clinic.wait(for: "the host to know that the member has everything") {
                try await self.member(name, host)?.lagBatches == 0
            }
            let connected = try #require(try await self.member(name, host))
            #expect(connected.connected && !connected.version.isEmpty)
            #expect(connected.standing == "active")
            #expect(connected.addresses.first == connected.address && connected.address == tablet.address)
            // A client is connected with the host alone, and lists what the host knows.
            #expect(try #require(try await self.member(name, other)).connected)
            #expect(try await other.status().verdict?.members == 2)
            try await tablet.stop()
            try host.database.sql("INSERT INTO patients(id) VALUES ('p1')")
            try await clinic.wait(for: "the host to collect it") {
                try await self.member(name, host)?.lagBatches ?? 0 > 0
            }
            try await host.restart()
            let known = try #require(try await self.member(name, host))
            #expect(!known.connected)
            #expect(known.lastSeen != nil)
            #expect(known.lagBatches ?? 0 > 0)
            #expect(known.version == connected.version)
            // The node shows no values for a member that was never connected with it.
            try await clinic.wait(for: "the other client") { try await self.member(name, other)?.connected == false }
        }
    }
}
