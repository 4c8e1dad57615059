import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import ClinicSyncStorage
import Testing

/// A node's process ends just before one of its writes; what it had written is there for the next process.
@Suite("The end of a process at any write")
struct CrashTests {
    @Test("no batch is half applied, none is lost and none is there twice, at whatever write the process ends")
    func working() throws { try self.endAnywhere(.working(), places: 6) }

    @Test("a node that is being given the state goes on where it was, or begins again, and has it once")
    func joining() throws { try self.endAnywhere(.joining(), places: 6) }

    @Test("a node whose file was put back goes on under new numbers once, and gets back what it had made")
    func restored() throws { try self.endAnywhere(.restored(), places: 4) }

    private func endAnywhere(_ scenario: StoreScenario, places: Int) throws {
        let reference = try scenario.reference()
        var total = 0
        _ = try self.run(scenario) { total += 1 }
        #expect(total > 20)
        for place in StoreScenario.places(of: total, count: places) {
            var left = place
            let crash = try self.run(scenario) {
                left -= 1
            } isOver: {
                left <= 0
            }
            guard let crash else { continue }
            // The next process carries out the request that was interrupted, and goes on.
            let store = try DiskStore(1, on: crash.disk, collects: false)
            #expect(try store.writer.state().vector.covers(crash.told), "at \(place) the node forgot what it had told")
            for (number, step) in scenario.steps.enumerated().dropFirst(crash.step ?? 0) {
                if number != crash.step, !step.sql.isEmpty { try store.sql(step.sql) }
                #expect(try StoreScenario.failure(of: step, in: store) == nil, "at \(place), step \(number)")
            }
            #expect(try StoreScenario.result(of: store) == reference, "at \(place)")
        }
    }

    private struct Crash {
        /// What is left.
        var disk: MemoryDisk
        /// The step that was interrupted; `nil`: the opening.
        var step: Int?
        /// What the node had replied before that step.
        var told: VersionVector
    }

    /// Runs a scenario until its process ends.
    ///
    /// - Parameters:
    ///   - scenario: the scenario.
    ///   - onWrite: called before each write.
    ///   - isOver: whether the process ends before the present write.
    /// - Returns: What is left; `nil` when the process did not end.
    /// - Throws: What the store throws before the process ends.
    private func run(
        _ scenario: StoreScenario,
        onWrite: @escaping () -> Void,
        isOver: @escaping () -> Bool = { false }
    ) throws -> Crash? {
        let disk = try scenario.disk()
        var remains: Result<MemoryDisk, any Error>?
        func observing<Value>(_ body: () throws -> Value) throws -> Value {
            disk.observe { _, _ in
                onWrite()
                guard remains == nil, isOver() else { return }
                remains = Result { try disk.afterPowerCut(losing: .nothing) }
            }
            defer { disk.observe(nil) }
            return try body()
        }
        let store = try observing { try DiskStore(1, on: disk, collects: false) }
        if let remains { return Crash(disk: try remains.get(), step: nil, told: VersionVector()) }
        for (number, step) in scenario.steps.enumerated() {
            if !step.sql.isEmpty { try store.sql(step.sql) }
            let told = try store.writer.state().vector
            _ = try observing { try StoreScenario.failure(of: step, in: store) }
            if let remains { return Crash(disk: try remains.get(), step: number, told: told) }
        }
        return nil
    }
}
