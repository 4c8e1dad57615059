import ClinicSyncSimulation
import Foundation
import Testing

/// Runs in which one member is hostile or damaged: the others stay alive, become equal and lose nothing.
@Suite("A member that nobody may trust") struct SuspectTests {
    /// One collection for all runs of the suite, so that files are made once.
    ///
    /// A test makes its runs one after the other.
    private static func check(_ kind: SuspectKind, _ seeds: some Sequence<UInt64>) throws -> [SuspectResult] {
        let templates = DiskTemplates()
        return try seeds.map { seed in
            // Printed before the run, so that the seed of a run that traps is known.
            print("\(kind.rawValue) \(seed)")
            var result = try kind.result(seed: seed, isRecording: false, templates: templates)
            if let violation = result.violation {
                result = try kind.result(seed: seed)
                print("\(result.words)\n  says \(result.complaints)")
                for line in result.transcript.suffix(SuspectTests.lines) { print("  | \(line)") }
                Issue.record("\(violation); repeat: \(SuspectTests.command(kind, seed))")
            }
            return result
        }
    }

    private static func command(_ kind: SuspectKind, _ seed: UInt64) -> String {
        "CLINICSYNC_SUSPECT=\(kind.rawValue) CLINICSYNC_SEED=\(seed) swift test --filter SuspectTests"
    }

    /// Seeds that together try nearly all kinds of mutations, and seeds that once found a fault.
    ///
    /// 106 and 5039: a batch is complete for one node and incomplete for another, for ever. 100762: a node
    /// whose next batch was forged stayed alone until its next start.
    private static let hostileSeeds: [UInt64] = Array(1...8) + [25, 26, 32, 34, 106, 5_039, 100_762]

    /// Seeds that once found a fault among them.
    ///
    /// 2125 and 2145: rows whose bookkeeping was lost won over what others had entered since, and no journal had it. 3090: a
    /// node trapped over its list of tables.
    private static let damagedSeeds: [UInt64] = Array(1...3) + [2_125, 2_145, 3_090]

    private static let environment = ProcessInfo.processInfo.environment
    private static let lines = Int(Self.environment["CLINICSYNC_TRANSCRIPT"] ?? "") ?? 40

    @Test("the others go on without a hostile member, whatever it sent")
    func hostile() throws {
        let results = try SuspectTests.check(.hostile, SuspectTests.hostileSeeds)
        let kinds = Set(results.flatMap { $0.mutations.keys })
        // Another core makes another run of a seed, so a kind may be missing some day.
        #expect(kinds.count >= MutationKind.allCases.count - 6, "only \(kinds.map(\.rawValue).sorted()) happened")
    }

    @Test("the others go on beside a damaged member and without it, and it says what is wrong")
    func damaged() throws {
        for result in try SuspectTests.check(.damaged, SuspectTests.damagedSeeds) {
            #expect(!result.isSilent, "\(result.words)")
        }
    }

    @Test("one seed is one run", arguments: SuspectKind.allCases)
    func deterministic(_ kind: SuspectKind) throws {
        let first = try kind.result(seed: 3)
        let second = try kind.result(seed: 3)
        #expect(first.hash == second.hash)
        #expect(first.steps == second.steps)
    }

    @Test("the run of CLINICSYNC_SUSPECT and CLINICSYNC_SEED", .enabled(if: environment["CLINICSYNC_SUSPECT"] != nil))
    func chosen() throws {
        let kind = try #require(SuspectKind(rawValue: Self.environment["CLINICSYNC_SUSPECT"] ?? ""))
        let seed = try #require(UInt64(Self.environment["CLINICSYNC_SEED"] ?? ""))
        let result = try #require(try SuspectTests.check(kind, CollectionOfOne(seed)).first)
        print("\(result.words)\nsteps=\(result.steps) hash=\(String(result.hash, radix: 16)) says \(result.complaints)")
    }
}
