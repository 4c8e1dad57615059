import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import ClinicSyncStorage
import Dispatch
import Foundation
import Testing

/// The disk refuses what a store asks it for: a request fails and says why, nothing is lost, and the store goes on by itself.
@Suite("Faults of the disk")
struct DiskFaultTests {
    @Test("an access that fails fails one request, which succeeds when it is carried out again")
    func onceAnywhere() throws {
        let scenario = try StoreScenario.working()
        let reference = try scenario.reference()
        var total = 0
        let counted = try self.run(scenario) { _ in
            total += 1
            return nil
        }
        #expect(counted.failures.isEmpty && counted.result == reference)
        for place in StoreScenario.places(of: total, count: 16) {
            var left = place
            let run = try self.run(scenario) { _ in
                left -= 1
                return left == 0 ? .error : nil
            }
            #expect(run.result == reference, "access \(place)")
            #expect(run.failures.allSatisfy { !$0.isEmpty })
        }
    }

    @Test("an opening during which the disk fails says so, and the next one finds everything")
    func opening() throws {
        let scenario = try StoreScenario.working()
        let disk = try scenario.disk()
        let before = try DiskStore(1, on: disk, collects: false).writer.state().vector
        var total = 0
        disk.refuse { _, _ in
            total += 1
            return nil
        }
        _ = try DiskStore(1, on: disk, collects: false)
        disk.refuse(nil)
        for place in StoreScenario.places(of: total, count: 10) {
            let disk = try scenario.disk()
            var left = place
            disk.refuse { _, _ in
                left -= 1
                return left == 0 ? .error : nil
            }
            do {
                _ = try DiskStore(1, on: disk, collects: false)
            } catch {
                #expect(!"\(error)".isEmpty)
            }
            disk.refuse(nil)
            #expect(try DiskStore(1, on: disk, collects: false).writer.state().vector == before, "access \(place)")
        }
    }

    /// What the disk refuses until its cause goes.
    struct Cause: Sendable {
        var refusal: MemoryDisk.Refusal
        var accesses: Set<MemoryDisk.Access>
        /// What the node says.
        var fault: DiskFault
    }

    static let causes = [
        Cause(refusal: .full, accesses: [.write, .create], fault: .full),
        Cause(refusal: .readOnly, accesses: [.write, .truncate, .create, .delete], fault: .readOnly),
        Cause(refusal: .error, accesses: Set(MemoryDisk.Access.allCases), fault: .failing),
    ]

    @Test(
        "a disk that is full, read-only or failing stops what writes, and no more, until the cause goes",
        arguments: causes
    )
    func lasting(cause: Cause) throws {
        let scenario = try StoreScenario.working()
        let reference = try scenario.reference()
        let store = try DiskStore(1, on: scenario.disk(), collects: false)
        let executor = StoreScenario.executor(of: store)
        var failures: [StorageFailure] = []
        for step in scenario.steps {
            if !step.sql.isEmpty { try store.sql(step.sql) }
            let vector = try store.writer.state().vector
            store.disk.refuse { access, _ in cause.accesses.contains(access) ? cause.refusal : nil }
            // The core tries again and again.
            for _ in 0..<2 {
                guard let failure = try StoreScenario.failure(of: step, in: store) else { continue }
                failures.append(failure)
                guard cause.refusal != .error else { continue }
                #expect(try store.reader.digests().vector == vector, "what the node has is served")
            }
            let probe = StoreScenario.failure(in: executor.perform(.probeDisk))
            #expect(probe.flatMap(self.fault) == cause.fault, "a probe finds the cause")
            store.disk.refuse(nil)
            #expect(StoreScenario.failure(in: executor.perform(.probeDisk)) == nil)
            #expect(try StoreScenario.failure(of: step, in: store) == nil)
        }
        #expect(try StoreScenario.result(of: store) == reference)
        #expect(failures.count >= 6)
        #expect(failures.allSatisfy { self.fault($0) == cause.fault }, "\(Set(failures))")
        #expect(try store.value(Int.self, "SELECT count(*) FROM clinicsync_setting WHERE name = 'probe'") == 0)
    }

    /// What the node says of a failure; `nil` when it does not take the disk for its cause.
    private func fault(_ failure: StorageFailure) -> DiskFault? {
        if case .disk(let fault, _) = failure { fault } else { nil }
    }

    @Test("what SQLite reports of a disk is named; running out of memory is no error of a disk")
    func named() {
        let names: [(Int32, DiskFault?)] = [
            (13, .full), (8, .readOnly), (1_544, .readOnly), (14, .readOnly), (778, .failing), (266, .failing),
            (10 | 12 << 8, nil), (5, nil), (11, nil), (26, nil), (19, nil),
        ]
        for (code, fault) in names { #expect(StoreError(code: code, message: "").diskFault == fault, "\(code)") }
    }

    @Test("a sync that takes long keeps nobody waiting who only reads")
    func slow() throws {
        let store = try DiskStore(1)
        try store.insert("p1")
        let (reached, release, ended) = (
            DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)
        )
        store.disk.refuse { access, _ in
            guard access == .sync else { return nil }
            reached.signal()
            release.wait()
            return nil
        }
        nonisolated(unsafe) let executor = StoreScenario.executor(of: store)
        Thread.detachNewThread {
            _ = executor.perform(.collect(clockOffsetMilliseconds: 0))
            ended.signal()
        }
        reached.wait()
        #expect(try store.reader.digests().vector[store.origin] == 0)
        #expect(try store.value(Int.self, "SELECT count(*) FROM patients") == 1)
        for _ in 0..<1_000 { release.signal() }
        ended.wait()
        store.disk.refuse(nil)
        #expect(try store.reader.digests().vector[store.origin] == 1)
    }

    /// Runs a scenario whose requests the disk may refuse.
    ///
    /// - Returns: What the failed requests said, and the result.
    private func run(
        _ scenario: StoreScenario,
        refusing refusal: @escaping (MemoryDisk.Access) -> MemoryDisk.Refusal?
    ) throws -> (failures: [String], result: StoreScenario.Result) {
        let store = try DiskStore(1, on: scenario.disk(), collects: false)
        var failures: [String] = []
        for step in scenario.steps {
            if !step.sql.isEmpty { try store.sql(step.sql) }
            store.disk.refuse { access, _ in refusal(access) }
            if let failure = try StoreScenario.failure(of: step, in: store) {
                failures.append("\(failure)")
                let again = try StoreScenario.failure(of: step, in: store)
                #expect(again == nil, "fails again: \(failure)")
            }
            store.disk.refuse(nil)
        }
        return (failures, try StoreScenario.result(of: store))
    }
}
