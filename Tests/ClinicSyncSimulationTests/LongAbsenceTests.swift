import ClinicSyncSimulation
import Foundation
import Testing

/// A PC is away for half a year, with every table and every policy of the clinic (`docs/ABSENCE.md`).
@Suite("Half a year away") struct LongAbsenceTests {
    private static func check(isAlone: Bool) throws -> LongAbsenceRun.Result {
        let result = try LongAbsenceRun.result(isAlone: isAlone)
        if result.violation != nil { for line in result.transcript.suffix(40) { print("  | \(line)") } }
        #expect(result.violation == nil)
        #expect(result.days == 183)
        #expect(result.hasLapsed, "the others waited for the PC")
        #expect(result.installed > 0, "nobody got a state")
        #expect(result.restored > 0, "no edit of a deleted row was restored from the journal")
        return result
    }

    @Test("its own changes are sent while it gets the state, and nothing deleted returns but by an edit")
    func off() throws {
        let result = try LongAbsenceTests.check(isAlone: false)
        #expect(result.isOwnSent, "the PC showed the state, and did not send what it had entered")
    }

    /// The PC's node is host of itself and has pruned its log, so the others need its state, too.
    @Test(
        "a PC whose cable was out, and whose node went on, gets and gives a state",
        .enabled(if: ProcessInfo.processInfo.environment["CLINICSYNC_LONG"] != nil)
    )
    func alone() throws {
        let result = try LongAbsenceTests.check(isAlone: true)
        #expect(result.installed > 1, "only one side got a state")
    }
}
