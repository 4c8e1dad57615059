import Foundation
import Testing

@Suite("What the program is made of")
struct ContentTests {
    @Test("it has the demonstration in it, and neither the simulator nor the fuzzers nor the test kit")
    func modules() throws {
        // The names of modules and types stand in every binary: in mangled symbols and in the metadata of types.
        let program = try #require(try Binary().makeProcess([]).executableURL)
        let bytes = try Data(contentsOf: program, options: .mappedIfSafe)
        func holds(_ name: String) -> Bool { bytes.range(of: Data(name.utf8)) != nil }
        for name in ["ClinicSyncDemo", "DemoClinic", "NodeStateMachine"] {
            #expect(holds(name), "\(name) is not found, so that this test would see nothing")
        }
        for name in [
            "ClinicSyncSimulation", "SimulatedWorld", "ClinicSyncFuzzing", "FuzzTarget", "ClinicSyncTestKit",
            "TestClinic",
        ] {
            #expect(!holds(name), "the program holds \(name)")
        }
    }
}
