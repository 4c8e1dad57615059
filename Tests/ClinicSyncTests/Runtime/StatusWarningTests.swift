import Testing

@testable import ClinicSync

@Suite("Warnings in the status of a node")
struct StatusWarningTests {
    @Test("triggers that failed and a log that was set aside are named; a node without them has no warning")
    func warnings() {
        #expect(NodeStatusControl.warnings(failedTriggers: 0, staleLog: nil).isEmpty)
        let one = NodeStatusControl.warnings(failedTriggers: 1, staleLog: nil)
        #expect(one.count == 1)
        #expect(one.first?.contains("failed for 1 row of other PCs") == true)
        let both = NodeStatusControl.warnings(failedTriggers: 2, staleLog: "/d/clinic.db-wal.set-aside-1")
        #expect(both.count == 2)
        #expect(both.last?.contains("/d/clinic.db-wal.set-aside-1") == true)
    }
}
