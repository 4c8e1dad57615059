import ClinicSync
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("Who belongs to a clinic of real nodes", .timeLimit(.minutes(3)), .serialized)
struct TrustTests {
    private let day = Duration.seconds(86_400)

    private func certificateExpires(_ node: TestNode) async throws -> Int64 {
        try await node.status().security.certificateExpires.milliseconds
    }

    /// Changes a field of a node's identity file.
    private func edit(_ node: TestNode, _ change: (inout [String: Any]) -> Void) throws {
        let url = node.directory.appending(path: "identity/identity.json")
        let decoded = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any]
        var identity = try #require(decoded)
        change(&identity)
        try JSONSerialization.data(withJSONObject: identity).write(to: url)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: url.path)
    }

    @Test("a revoked node stops, gets nothing from then on, and cannot come back")
    func revoke() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (host, other, tablet) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            try host.database.sql("INSERT INTO patients(id) VALUES ('before')")
            try await clinic.converge()
            try await host.revoke("node2")
            try await clinic.wait(for: "the revoked node to stop", within: .seconds(10)) { !tablet.isRunning }
            let end = await #expect(throws: TestClinicError.self) { try await tablet.stop() }
            #expect(end?.description.contains("removed from the clinic") == true)
            try host.database.sql("INSERT INTO patients(id) VALUES ('after')")
            try await clinic.wait(for: "the others to go on") {
                try other.database.integer("SELECT count(*) FROM patients WHERE id = 'after'") == 1
            }
            let refused = await #expect(throws: ClinicSyncError.self) { try await tablet.start() }
            #expect(refused?.code == .revoked)
            #expect(try tablet.database.integer("SELECT count(*) FROM patients WHERE id = 'after'") == 0)
            for node in [host, other] {
                try await clinic.wait(for: "the list to say it") {
                    try await node.nodes().nodes.first { $0.name == "node2" }?.role == "revoked"
                }
            }
        }
    }

    @Test("who deletes the revocation everywhere in the databases lets nobody in: it is put back")
    func revocationsComeBack() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (host, other, tablet) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            try await clinic.wait(for: "the members to be known") {
                try await host.nodes().nodes.map(\.name) == ["node0", "node1", "node2"]
            }
            await tablet.kill()
            try await host.revoke("node2")
            let count = "SELECT count(*) FROM clinicsync_revocation"
            try await clinic.wait(for: "the revocation") { try other.database.integer(count) == 1 }
            try other.database.sql("DELETE FROM clinicsync_revocation")
            for node in [host, other] {
                try await clinic.wait(for: "the revocation to be back") { try node.database.integer(count) == 1 }
            }
            // The thief deletes the revocation in its own database too.
            try Data("[]".utf8).write(to: tablet.directory.appending(path: "identity/revocations.json"))
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o600],
                ofItemAtPath: tablet.directory.appending(path: "identity/revocations.json").path
            )
            try tablet.database.sql("DELETE FROM clinicsync_revocation")
            try host.database.sql("INSERT INTO patients(id) VALUES ('secret')")
            try await tablet.start()
            try await clinic.wait(for: "the revoked node to stop", within: .seconds(10)) { !tablet.isRunning }
            _ = await #expect(throws: TestClinicError.self) { try await tablet.stop() }
            #expect(try tablet.database.integer("SELECT count(*) FROM patients") == 0)
        }
    }

    @Test("rows that a program forges revoke nobody and grant nothing")
    func forgedRows() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let (host, client) = (clinic.nodes[0], clinic.nodes[1])
            let id = try await host.status().node.id
            let forged = "INSERT INTO clinicsync_revocation (node, number, entry) VALUES (?, 1, x'00ff')"
            try client.database.sql(forged, id)
            try client.database.sql(
                "INSERT INTO clinicsync_grant (node, certificate) VALUES (?, x'3000')",
                try await client.status().node.id
            )
            try client.database.sql("INSERT INTO patients(id) VALUES ('p')")
            try await clinic.converge()
            #expect(try await !client.status().security.maySign)
            #expect(try await host.nodes().nodes.allSatisfy { $0.role != "revoked" })
            // A row with another key under a member's id changes nothing: the host puts the member's certificate back,
            // and a right is for the member's own key. The member does not run, because it would correct its row.
            #expect(try await client.isConnected)
            let member = try await client.status().node.id
            try await client.stop()
            try host.database.sql("UPDATE clinicsync_node SET certificate = x'3000', name = 'x' WHERE id = ?", member)
            try await clinic.wait(for: "the member's certificate") {
                try host.database.value("SELECT hex(certificate) FROM clinicsync_node WHERE id = ?", member) != "3000"
            }
            try await host.grant("node1")
            try await client.start()
            try await clinic.wait(for: "the right") { try await client.status().security.maySign }
        }
    }

    @Test("a node of another clinic is refused by a host at whose address it asks, and gets no row")
    func otherClinic() async throws {
        try await TestClinic.start(nodes: 2) { ours in
            try await TestClinic.start(nodes: 2) { theirs in
                let stranger = theirs.nodes[1]
                try await stranger.stop()
                // The node would find its host in the list of members.
                try await theirs.host.stop()
                let address = ours.host.address
                try self.edit(stranger) { identity in
                    var host = identity["host"] as? [String: Any] ?? [:]
                    host["address"] = address
                    identity["host"] = host
                }
                try ours.host.database.sql("INSERT INTO patients(id) VALUES ('secret')")
                let before = try await ours.host.status().security.refusedConnections
                try await stranger.start()
                try await ours.wait(for: "two refusals") {
                    try await ours.host.status().security.refusedConnections >= before + 2
                }
                let status = try await stranger.status()
                #expect(status.role != .client)
                #expect(status.activeConnections == 0)
                #expect(try stranger.database.integer("SELECT count(*) FROM patients") == 0)
                #expect(try await ours.host.status().activeConnections == 1)
            }
        }
    }

    @Test("a grant lets a second node invite, renew and revoke")
    func grant() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (host, second, third) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            try await clinic.wait(for: "the members to know one another") {
                let names = ["node0", "node1", "node2"]
                let known = [try await second.nodes().nodes.map(\.name), try await host.nodes().nodes.map(\.name)]
                return known == [names, names]
            }
            await #expect(throws: ClinicSyncError(.refused, "")) { _ = try await second.invite() }
            await #expect(throws: ClinicSyncError(.refused, "")) { try await second.revoke("node2") }
            await #expect(throws: ClinicSyncError(.refused, "")) { try await second.grant("node2") }
            try await host.grant("node1")
            try await clinic.wait(for: "the right") { try await second.status().security.maySign }
            let folder = host.directory.deletingLastPathComponent().appending(path: "late")
            try await ClinicNode.join(try await second.invite(), in: folder, nodeName: "late")
            try await second.revoke("node2")
            try await clinic.wait(for: "the revoked node to stop", within: .seconds(10)) { !third.isRunning }
            _ = await #expect(throws: TestClinicError.self) { try await third.stop() }
            // A member that the second node enrolled stays a member when that node is revoked. The revocation vouches
            // for it.
            let late = try await clinic.adoptNode(name: "late", directory: folder)
            try await clinic.wait(for: "the late node in the list") {
                try await host.nodes().nodes.contains { $0.name == "late" }
            }
            try await host.revoke("node1")
            try await clinic.wait(for: "the second node to stop", within: .seconds(10)) { !second.isRunning }
            _ = await #expect(throws: TestClinicError.self) { try await second.stop() }
            try await late.restart()
            try host.database.sql("INSERT INTO patients(id) VALUES ('p')")
            try await clinic.wait(for: "the late node to have it") {
                try late.database.integer("SELECT count(*) FROM patients") == 1
            }
        }
    }

    @Test("certificates renew themselves when two thirds of their life are over")
    func renewal() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let before = try await self.certificateExpires(clinic.nodes[2])
            for node in clinic.nodes { node.skewClock(by: self.day * 19) }
            for node in clinic.nodes { #expect(try await self.certificateExpires(node) < before + 86_400_000) }
            for node in clinic.nodes { node.skewClock(by: self.day * 2) }
            for node in clinic.nodes {
                try await clinic.wait(for: "\(node.name) to renew") {
                    try await self.certificateExpires(node) > before + 20 * 86_400_000
                }
            }
            try clinic.host.database.sql("INSERT INTO patients(id) VALUES ('p')")
            try await clinic.converge()
        }
    }

    @Test("a clinic that was off until every certificate had run out is whole again by itself")
    func expired() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            for node in clinic.nodes { try await node.stop() }
            for node in clinic.nodes { node.skewClock(by: self.day * 45) }
            try clinic.nodes[2].database.sql("INSERT INTO patients(id) VALUES ('written meanwhile')")
            // The clients start first, when no other node answers yet.
            for node in clinic.nodes.reversed() { try await node.start() }
            // Any of them may be host now.
            try await clinic.wait(for: "all to be connected") {
                for node in clinic.nodes where try await node.status().activeConnections == 2 { return true }
                return false
            }
            try await clinic.converge()
            #expect(try clinic.host.database.integer("SELECT count(*) FROM patients") == 1)
        }
    }

    @Test("a clock that is a day wrong keeps nobody from renewing", arguments: [-1, 1])
    func wrongClock(days: Int) async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let client = clinic.nodes[1]
            client.skewClock(by: self.day * days)
            for node in clinic.nodes { try await node.stop() }
            for node in clinic.nodes { node.skewClock(by: self.day * 31) }
            for node in clinic.nodes { try await node.start() }
            try await clinic.wait(for: "the client to be connected") {
                try await clinic.host.status().activeConnections == 1
            }
        }
    }

    @Test("a node whose keys others could read does not start and says how to mend it")
    func permissions() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let client = clinic.nodes[1]
            try await client.stop()
            let key = client.directory.appending(path: "identity/node.key").path
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: key)
            let refused = await #expect(throws: ClinicSyncError.self) { try await client.start() }
            #expect(refused?.code == .permission)
            #expect(refused?.message.contains("chmod 600 '\(key)'") == true, "\(refused?.message ?? "")")
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: key)
            try await client.start()
        }
    }
}
