import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import Logging
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSync

@Suite("What a node makes of the tables of members", .timeLimit(.minutes(1))) struct TrustExchangeTests {
    /// A host with its store, and the exchange of both.
    private final class Bench: Sendable {
        let clinic: TestAuthority
        let directory: TemporaryDirectory
        let register: MemberRegister
        let storage: StorageService
        let exchange: TrustExchange
        let time = NIOLockedValueBox(Duration.zero)
        let isHost = NIOLockedValueBox(true)
        let name = NIOLockedValueBox("front")

        init() async throws {
            let clinic = try TestAuthority()
            let directory = try TemporaryDirectory()
            let origin = Origin(node: clinic.host.nodeID)
            try SQLiteReplicaStore.create(at: directory.file("clinic.db"), origin: origin)
            let storage = try await StorageService.open(
                StorageService.Opening(
                    path: directory.file("clinic.db").path,
                    origin: origin,
                    retention: .seconds(1),
                    wallClock: { clinic.clock.now }
                )
            )
            let register = MemberRegister(trust: clinic.host)
            let (time, isHost, name) = (self.time, self.isHost, self.name)
            self.clinic = clinic
            self.directory = directory
            self.register = register
            self.storage = storage
            self.exchange = TrustExchange(
                TrustExchange.Surroundings(
                    trust: clinic.host,
                    register: register,
                    storage: storage,
                    wrote: {},
                    ownRow: {
                        AgentTables.Node(
                            id: clinic.host.nodeID,
                            name: name.withLockedValue { $0 },
                            addresses: ["10.0.0.1:4747"],
                            certificate: clinic.host.ownCertificate,
                            softwareVersion: "1",
                            maySign: true,
                            schemaVersion: 14
                        )
                    },
                    membersChanged: {},
                    isHost: { isHost.withLockedValue { $0 } },
                    wallClock: { clinic.clock.now },
                    monotonic: { time.withLockedValue { $0 } },
                    renamed: { new in name.withLockedValue { $0 = new } },
                    logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
                )
            )
        }

        func sql(_ text: String, _ arguments: [SQLiteValue] = []) async throws {
            try await self.storage.write { writer in
                try writer.write { _, transaction in
                    let statement = try transaction.statement(text)
                    for (index, value) in arguments.enumerated() { statement.bind(Int32(index + 1), value) }
                    try statement.run()
                    return .durable(())
                }
            }
        }

        func rows(_ table: String) async throws -> [[String: SQLiteValue]] {
            try await self.storage.read { try $0.agentRows(table) }
        }

        func count(_ table: String) async throws -> Int {
            try await self.storage.read { try $0.agentRowCount(table, limit: 100_000) }
        }

        func look() async throws { try await self.exchange.exchange(reviewPeers: {}) }

        func advance(_ duration: Duration) { self.time.withLockedValue { $0 += duration } }
    }

    private func forge(_ bench: Bench, _ victim: NodeID) async throws {
        let fake = NodeID(high: 7, low: 7)
        for node in [victim, bench.clinic.host.nodeID, fake] {
            try await bench.sql(
                "INSERT OR REPLACE INTO clinicsync_revocation (node, number, entry) VALUES (?1, 1, x'00ff')",
                [AgentTables.key(node)]
            )
        }
        for node in [victim, fake] {
            try await bench.sql(
                "INSERT OR REPLACE INTO clinicsync_grant (node, certificate) VALUES (?1, x'3000')",
                [AgentTables.key(node)]
            )
        }
        try await bench.sql(
            "INSERT INTO clinicsync_node (id, name, certificate, maySign) VALUES (?1, 'ghost', x'3000', 1), ('no id', '', NULL, 1)",
            [AgentTables.key(fake)]
        )
    }

    @Test("forged rows change no member, and the host removes them when they have had time to be signed")
    func forged() async throws {
        let bench = try await Bench()
        let lab = try bench.clinic.member(in: bench.directory)
        let key = AgentTables.key(lab.nodeID)
        try await bench.sql(
            "INSERT INTO clinicsync_node (id, name, certificate) VALUES (?1, 'lab', ?2)",
            [key, .blob(lab.certificates[0])]
        )
        try await bench.look()
        let known = bench.register.known
        #expect(known.present.count == 2)
        #expect(bench.register.names()[lab.nodeID] == "lab")
        try await self.forge(bench, lab.nodeID)
        try await bench.look()
        #expect(bench.register.known == known)
        #expect(!bench.register.maySign(lab.nodeID))
        // Three revocations, a right for the member and one for nobody, two rows of nobody.
        #expect(bench.exchange.unsignedRows == 7)
        bench.isHost.withLockedValue { $0 = false }
        bench.advance(.seconds(61))
        try await bench.look()
        #expect(bench.exchange.unsignedRows == 7)
        bench.isHost.withLockedValue { $0 = true }
        try await bench.look()
        #expect(try await bench.count(AgentTables.revocations) == 0)
        // The host's own right remains.
        #expect(try await bench.count(AgentTables.grants) == 1)
        #expect(try await bench.count(AgentTables.nodes) == 2)
        try await bench.look()
        #expect(bench.exchange.unsignedRows == 0)
        try await bench.storage.close()
    }

    @Test("what was deleted or overwritten comes back: members' proofs and names, rights and revocations")
    func restored() async throws {
        let bench = try await Bench()
        let lab = try bench.clinic.grantee(in: bench.directory)
        let own = MemberRegister(trust: lab)
        let statement = try own.state(
            NodeStatement.Facts(name: "lab", addresses: [], softwareVersion: "1", schemaVersion: 14, aliveAt: 0)
        )
        #expect(bench.register.learn(chain: lab.certificates) == .new)
        #expect(bench.register.learn(grant: try #require(lab.ownGrant).bytes) == .new)
        #expect(bench.register.learn(statement: statement.bytes, of: lab.nodeID) == .new)
        let gone = SigningKey().id
        _ = try bench.clinic.host.revoke(gone)
        for damage in [
            "DELETE FROM clinicsync_node", "UPDATE clinicsync_node SET certificate = x'3000', name = 'x'",
            "UPDATE clinicsync_node SET statement = NULL", "DELETE FROM clinicsync_grant",
            "UPDATE clinicsync_grant SET certificate = x'00'", "DELETE FROM clinicsync_revocation",
            "UPDATE clinicsync_revocation SET entry = x'00'",
        ] {
            try await bench.sql(damage)
            bench.advance(.seconds(600))
            try await bench.look()
            let rows = try await bench.rows(AgentTables.nodes)
            #expect(rows.compactMap { AgentTables.text($0["name"]) }.sorted() == ["front", "lab"], "\(damage)")
            let row = rows.first { $0["id"] == AgentTables.key(lab.nodeID) }
            #expect(row?["certificate"] == .blob(lab.certificates[0]) && row?["statement"] == .blob(statement.bytes))
            #expect(try await bench.count(AgentTables.grants) == 2)
            let revocations = try await bench.rows(AgentTables.revocations)
            #expect(
                revocations.compactMap { AgentTables.blob($0["entry"]) } == bench.clinic.host.revocations.map(\.value)
            )
        }
        try await bench.storage.close()
    }

    @Test("a row that somebody overwrites again and again is put back at a bounded rate")
    func bounded() async throws {
        let bench = try await Bench()
        var repairs = 0
        for _ in 0..<100 {
            try await bench.sql("UPDATE clinicsync_node SET name = 'forged'")
            try await bench.look()
            let names = try await bench.rows(AgentTables.nodes).compactMap { AgentTables.text($0["name"]) }
            if names == ["front"] { repairs += 1 }
            bench.advance(.seconds(1))
        }
        // 32 at once, two of them for the first row and the first right, and one every ten seconds.
        #expect((30...45).contains(repairs), "\(repairs)")
        #expect(bench.name.withLockedValue { $0 } == "front")
        try await bench.storage.close()
    }

    @Test("thousands of rows are read a part at a time, and do not hide what is signed")
    func flood() async throws {
        let bench = try await Bench()
        let lab = try bench.clinic.member(in: bench.directory)
        try await bench.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
            INSERT INTO clinicsync_grant (node, certificate) SELECT printf('%026d', i), randomblob(8000) FROM n
            """
        )
        try await bench.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
            INSERT INTO clinicsync_node (id, certificate) SELECT printf('%026d', i), randomblob(600) FROM n
            """
        )
        try await bench.sql(
            "INSERT INTO clinicsync_node (id, name, certificate) VALUES (?1, 'lab', ?2)",
            [AgentTables.key(lab.nodeID), .blob(lab.certificates[0])]
        )
        var looks = 0
        while bench.register.member(lab.nodeID) == nil, looks < 10 {
            try await bench.look()
            looks += 1
        }
        #expect(looks > 1 && looks < 10)
        #expect(bench.register.known.present.count == 2)
        let page = try await bench.rows(AgentTables.grants)
        #expect(page.count < SystemTableLimits.pageRows)
        try await bench.storage.close()
    }
}
