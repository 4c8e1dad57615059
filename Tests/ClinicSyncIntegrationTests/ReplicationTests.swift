import ClinicSync
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("Several nodes on real sockets and files", .timeLimit(.minutes(3)), .serialized)
struct ReplicationTests {
    @Test("a row written on each node appears on all; updates and deletions go from client to client and back")
    func bothDirections() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            for node in clinic.nodes {
                try node.database.sql("INSERT INTO patients(id, fullName) VALUES (?, 'Ana')", node.name)
            }
            try await clinic.converge()
            for node in clinic.nodes {
                let ids = try node.database.column("SELECT id FROM patients ORDER BY id")
                #expect(ids == ["node0", "node1", "node2"])
            }
            let (a, b) = (clinic.nodes[1].database, clinic.nodes[2].database)
            try b.sql("DELETE FROM patients")
            try await clinic.converge()
            try a.sql("INSERT INTO patients(id, fullName) VALUES ('p', 'Ana'), ('q', 'Eva')")
            try await clinic.converge()
            try b.sql("UPDATE patients SET fullName = 'Ana Cruz' WHERE id = 'p'; DELETE FROM patients WHERE id = 'q'")
            try await clinic.converge()
            #expect(try a.column("SELECT id || fullName FROM patients") == ["pAna Cruz"])
            try a.sql("UPDATE patients SET address = 'Manila' WHERE id = 'p'")
            try await clinic.converge()
            #expect(try b.value("SELECT fullName || address FROM patients") == "Ana CruzManila")
        }
    }

    @Test("edits of a node that is cut off are kept and sent when it is back, and it gets what it missed")
    func offline() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let away = clinic.nodes[1]
            try clinic.host.database.sql("INSERT INTO patients(id, fullName, email) VALUES ('p', 'Ana', 'a@b')")
            try await clinic.converge()
            away.cut()
            try await clinic.wait(for: "the cut to be noticed") { try await !away.isConnected }
            for number in 0..<20 {
                try away.database.sql("INSERT INTO patients(id) VALUES (?)", "away\(number)")
                try clinic.nodes[2].database.sql("INSERT INTO patients(id) VALUES (?)", "here\(number)")
            }
            try away.database.sql("UPDATE patients SET fullName = 'Ana Cruz' WHERE id = 'p'")
            try clinic.host.database.sql("UPDATE patients SET email = 'c@d' WHERE id = 'p'")
            try await clinic.converge()
            #expect(try clinic.host.database.integer("SELECT count(*) FROM patients WHERE id LIKE 'away%'") == 0)
            #expect(try away.database.integer("SELECT count(*) FROM patients WHERE id LIKE 'here%'") == 0)
            away.heal()
            try await clinic.wait(for: "the cut node's return") { try await away.isConnected }
            try await clinic.converge()
            for node in clinic.nodes {
                #expect(try node.database.integer("SELECT count(*) FROM patients") == 41)
                // Edits of different columns of one row are both kept.
                let row = try node.database.value("SELECT fullName || email FROM patients WHERE id = 'p'")
                #expect(row == "Ana Cruzc@d")
            }
        }
    }

    @Test("increments of a counter on all nodes add up, also those made apart")
    func counters() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let sql = "UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = ?"
            let first = try #require(try clinic.host.database.value("SELECT min(id) FROM clinic_services"))
            let start = try clinic.host.database.integer(
                "SELECT selectionCount FROM clinic_services WHERE id = ?",
                first
            )
            for client in clinic.clients { client.cut() }
            for (index, node) in clinic.nodes.enumerated() {
                for _ in 0..<(10 * (index + 1)) { try node.database.sql(sql, first) }
            }
            for client in clinic.clients { client.heal() }
            try await clinic.converge()
            for node in clinic.nodes {
                let count = try node.database.integer("SELECT selectionCount FROM clinic_services WHERE id = ?", first)
                #expect(count == (start ?? 0) + 60)
            }
        }
    }

    @Test("a transaction over several tables is never seen in part on another node")
    func wholeTransactions() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (writer, reader) = (clinic.nodes[1].database, clinic.nodes[2].database)
            let torn = """
                SELECT count(*) FROM patient_bills b
                WHERE 3 <> (SELECT count(*) FROM bill_items i WHERE i.billId = b.id)
                   OR 1 <> (SELECT count(*) FROM payments p WHERE p.billId = b.id)
                """
            for number in 0..<50 {
                try writer.sql(TestRows.bill("bill\(number)"))
                #expect(try reader.integer(torn) == 0)
            }
            try await clinic.wait(for: "all bills") {
                #expect(try reader.integer(torn) == 0)
                return try reader.integer("SELECT count(*) FROM patient_bills") == 50
            }
            try await clinic.converge()
        }
    }

    @Test("20 000 rows of one transaction appear at once elsewhere, and small changes of others do not wait for them")
    func bulk() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (writer, reader) = (clinic.nodes[1].database, clinic.nodes[2].database)
            let total = 20_000
            try writer.transaction(TestRows.patient, rows: (0..<total).map { ["bulk\($0)", "Patient \($0)"] })
            var small = 0
            var seenDuringBulk = 0
            try await clinic.wait(for: "the bulk on the other client", within: .seconds(60)) {
                let bulk = try reader.integer("SELECT count(*) FROM patients WHERE id LIKE 'bulk%'")
                #expect(bulk == 0 || bulk == total, "a part of a transaction was seen")
                guard bulk == 0 else { return true }
                let seen = try reader.integer("SELECT count(*) FROM users") ?? 0
                seenDuringBulk = seen
                if seen == small {
                    small += 1
                    try clinic.host.database.sql("INSERT INTO users(id, username) VALUES (?1, ?1)", "user\(small)")
                }
                return false
            }
            #expect(seenDuringBulk > 0, "no small change arrived before the bulk")
            try await clinic.converge(within: .seconds(60))
        }
    }

    @Test("a node that joins late gets everything, deletions included")
    func lateJoiner() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            try clinic.nodes[1].database.transaction(
                TestRows.patient,
                rows: (0..<2_000).map { ["p\($0)", "Patient \($0)"] }
            )
            try clinic.host.database.sql("DELETE FROM clinic_services WHERE id = (SELECT min(id) FROM clinic_services)")
            try await clinic.converge()
            let late = try await clinic.addNode()
            try await clinic.converge()
            #expect(try late.database.integer("SELECT count(*) FROM patients") == 2_000)
            #expect(try late.database.dump() == clinic.host.database.dump())
        }
    }

    @Test("each node killed and started again in the middle of a stream ends up equal")
    func killed() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            // The host is one of them.
            for (index, victim) in clinic.nodes.enumerated() {
                for number in 0..<150 {
                    let writer = clinic.nodes[number % 3].database
                    try writer.sql("INSERT INTO patients(id, fullName) VALUES (?, 'x')", "\(victim.name) \(number)")
                    if number == 50 { await victim.kill() }
                    if number == 100 { try await victim.restart() }
                }
                try await clinic.wait(for: "a host with two connections") {
                    for node in clinic.nodes where try await node.status().activeConnections == 2 { return true }
                    return false
                }
                try await clinic.converge()
                for node in clinic.nodes {
                    #expect(try node.database.integer("SELECT count(*) FROM patients") == 150 * (index + 1))
                }
            }
        }
    }

    @Test("whoever is host and goes away, another takes its place, and it is a client when it returns")
    func hostReturns() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            var hosts: Set<String> = []
            for _ in 0..<3 {
                let host = try await self.host(of: clinic.nodes)
                hosts.insert(host.name)
                try await host.stop()
                let others = clinic.nodes.filter { $0.name != host.name }
                try await clinic.wait(for: "another host with its client") {
                    let roles = try await self.roles(of: others)
                    return Set(roles) == [.host, .client]
                }
                for node in others { try node.database.sql("INSERT INTO patients(fullName) VALUES ('x')") }
                try await host.start()
                try await clinic.wait(for: "the host that was to be a client") {
                    try await host.status().role == .client
                }
            }
            #expect(hosts.count > 1)
            try await clinic.converge()
            #expect(try clinic.nodes[0].database.integer("SELECT count(*) FROM patients") == 6)
        }
    }

    @Test("the host hands over to the node that is named, from whichever node that is asked")
    func transfer() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            var term = try await clinic.host.status().term
            for (asked, wanted) in [(0, 1), (2, 0), (2, 2), (1, 1)] {
                try await clinic.nodes[asked].transferHost(to: "node\(wanted)")
                try await clinic.wait(for: "all to follow it") {
                    for node in clinic.nodes {
                        guard try await node.status().host?.name == "node\(wanted)" else { return false }
                    }
                    return true
                }
                let next = try await clinic.nodes[wanted].status().term
                #expect(next > term)
                term = next
                try clinic.nodes[asked].database.sql("INSERT INTO patients(fullName) VALUES ('x')")
            }
            await #expect(throws: ClinicSyncError.self) { try await clinic.host.transferHost(to: "nobody") }
            await clinic.nodes[2].kill()
            let error = await #expect(throws: ClinicSyncError.self) {
                try await clinic.nodes[1].transferHost(to: "node2")
            }
            #expect(error?.code == .refused)
            #expect(try await clinic.nodes[1].status().role == .host)
            try await clinic.nodes[2].restart()
            try await clinic.wait(for: "the node that was killed") { try await clinic.nodes[2].isConnected }
            try await clinic.converge()
            #expect(try clinic.host.database.integer("SELECT count(*) FROM patients") == 4)
        }
    }

    private func roles(of nodes: [TestNode]) async throws -> [NodeStatus.Role] {
        var roles: [NodeStatus.Role] = []
        for node in nodes { roles.append(try await node.status().role) }
        return roles
    }

    private func host(of nodes: [TestNode]) async throws -> TestNode {
        let roles = try await self.roles(of: nodes)
        return try #require(zip(nodes, roles).first { $0.1 == .host }?.0)
    }

    @Test("a clock that is an hour ahead does not win against an edit made after its own")
    func skewedClock() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let (host, client) = (clinic.host.database, clinic.nodes[1].database)
            clinic.nodes[1].skewClock(by: .seconds(3_600))
            try await clinic.wait(for: "the offset to be known") {
                try await clinic.nodes[1].status().clockOffsetMilliseconds < -3_500_000
            }
            try client.sql("INSERT INTO patients(id, fullName) VALUES ('p', 'first')")
            try await clinic.converge()
            try host.sql("UPDATE patients SET fullName = 'second' WHERE id = 'p'")
            try await clinic.converge()
            #expect(try client.value("SELECT fullName FROM patients") == "second")
        }
    }
}
