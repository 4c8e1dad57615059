import ClinicSyncSimulation
import Testing

/// Runs in which PCs lose power all the time.
@Suite("Power cuts") struct PowerCutTests {
    /// A sync that is left out, a seed whose run finds it, and what the checker says.
    ///
    /// Another core makes another run of the same seed. So further seeds are tried when that one finds nothing.
    struct Finding: Sendable {
        var sync: MissingSync
        var seed: UInt64
        var words: String
    }

    /// A finding for each sync; `docs/SIMULATION.md` has the same table.
    static let findings = [
        Finding(sync: .collection, seed: 1, words: "lost own batches by a power cut"),
        Finding(sync: .merge, seed: 15, words: "lost own batches by a power cut"),
        Finding(sync: .term, seed: 14, words: "a second time"),
        Finding(sync: .checkpointFile, seed: 1, words: "is damaged"),
        Finding(sync: .directory, seed: 2, words: "is damaged"),
    ]

    @Test("PCs lose power again and again, and every promise holds", arguments: [1, 2, 32] as [UInt64])
    func everySync(_ seed: UInt64) throws {
        let result = try SimulationRun.result(of: .powerCuts(seed: seed))
        #expect(result.violation == nil, "\(result.options)")
        #expect(result.fired[.powerCut, default: 0] > 0)
    }

    @Test("a sync that is left out is found", arguments: findings)
    func missingSync(_ finding: Finding) throws {
        for seed in [finding.seed] + PowerCutTests.furtherSeeds {
            var options = SimulationOptions.powerCuts(seed: seed)
            options.missingSync = finding.sync
            guard let violation = try SimulationRun.result(of: options).violation else { continue }
            #expect(violation.contains(finding.words))
            if seed != finding.seed { print("\(finding.sync) is found by seed \(seed) now: put it into the tables") }
            return
        }
        Issue.record("no run missed the sync of \(finding.sync)")
    }

    private static let furtherSeeds: [UInt64] = Array(1...60)

    @Test("there is a finding for every sync")
    func all() {
        // `DurabilityTests` misses these. The clinic outlives the first one: two contents of one batch end by a rule. Few seeds
        // find the others, and looking for them took two minutes each time when the core had changed.
        let ofOneStore: Set<MissingSync> = [.restamp, .closing, .checkpointLog]
        #expect(Set(PowerCutTests.findings.map(\.sync)) == Set(MissingSync.allCases).subtracting(ofOneStore))
    }
}
