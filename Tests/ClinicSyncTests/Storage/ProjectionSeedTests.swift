import ClinicSyncCore
import ClinicSyncStorage
import GRDB
import Testing

@Suite("Random histories of three nodes")
struct ProjectionSeedTests {
    @Test(
        "over the clinic's tables end equal, also on a node that gets everything at once",
        arguments: [1, 9, 21, 40] as [UInt64]
    )
    func clinic(seed: UInt64) throws {
        try self.run(seed, schema: .clinic) { $0.clinicStatement() }
    }

    @Test(
        "over tables with every policy end equal, also on a node that gets everything at once",
        arguments: 1...4 as ClosedRange<UInt64>
    )
    func policies(seed: UInt64) throws {
        try self.run(seed, schema: RandomPrograms.policies) { $0.policyStatement() }
    }

    private func run(_ seed: UInt64, schema: StoreSchema, statement: (inout RandomPrograms) -> String) throws {
        var programs = RandomPrograms(random: SplitMix64(seed: seed))
        var random = SplitMix64(seed: ~seed)
        let stores = try (1...3).map { try TestStore($0, schema: schema) }
        for _ in 0..<4 {
            for _ in 0..<Int.random(in: 1..<14, using: &random) {
                let index = Int.random(in: 0..<3, using: &random)
                do {
                    try stores[index].sql(statement(&programs))
                } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
                    // A program would get this error. The statement may have switched foreign keys on; switch them
                    // off again.
                    try stores[index].sql("PRAGMA foreign_keys = OFF")
                }
                stores[index].now += Int64.random(in: 0..<40, using: &random)
                if Int.random(in: 0..<3, using: &random) == 0 { try stores[index].collect() }
                if Int.random(in: 0..<4, using: &random) == 0 {
                    try stores[index].send(to: stores[(index + Int.random(in: 1..<3, using: &random)) % 3])
                }
            }
            guard Bool.random(using: &random) else { continue }
            try converge(stores)
            try expectEqual(stores)
        }
        try converge(stores)
        let late = try TestStore(9, schema: schema)
        try stores[Int.random(in: 0..<3, using: &random)].send(to: late)
        try expectEqual(stores + [late])
    }
}
