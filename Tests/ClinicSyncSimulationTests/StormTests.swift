import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import Testing

/// Tests how a large clinic behaves when it is overloaded for a moment.
@Suite("Fifty PCs under loads that end") struct StormTests {
    @Test(
        "all start at once, then the host is killed: soon one is host of all, with few handshakes and two terms at most",
        arguments: [0] as [UInt64]
    )
    func storm(_ seed: UInt64) throws {
        // Each PC needs four times the processor that it needs, so fifty load two cores as two hundred would.
        let storms: [StormKind] = [.start, .hostKilled]
        let outcomes = try StormRun.outcomes(
            storms,
            nodes: 50,
            cost: .crowded,
            seed: seed,
            templates: DiskTemplates()
        ).outcomes
        #expect(outcomes.count == storms.count)
        for (storm, outcome) in zip(storms, outcomes) {
            #expect(outcome.holds, "\(storm): \(outcome)")
            // Two ends of a handshake for each PC are needed.
            #expect(outcome.handshakes < 50 * 2 * 5, "\(storm): \(outcome)")
        }
    }
}
